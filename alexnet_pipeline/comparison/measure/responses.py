"""The frequency response of a method at a scale: its aliasing and sharpness, computed from weights without images.

Output i of an axis is a weighted sum of source samples k, so its response at frequency f is
H_i(f) = sum_k w_ik exp(-2 pi i f (k - c_i)), where c_i is its ideal sampling position. An ideal filter has H = 1 up to
the output's Nyquist frequency 1/(2 s) and H = 0 above. H_i depends on the phase of output i.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alexnet_pipeline.comparison.records import Response
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.geometry import Axis
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.libraries import library_weights
from alexnet_pipeline.pixels.weights import axis_weights

Doubles = NDArray[np.float64]

# Output samples of the axis: the size of an output image.
OUTPUT_SAMPLES = 256
# Outputs left out at either end, where the border truncates kernels: the widest spans 3 outputs (lanczos3:scaled) or
# 4 source samples (opencv:lanczos4) to either side.
BORDER_SAMPLES = 8
# Cells of the midpoint rule in each band.
CELLS = 128
# Frequencies of the response that is drawn.
DRAWN = 129
# Input of 1/f^2 power has no finite energy from 0 on: it begins at one cycle per 500 pixels, a typical image's length.
LOWEST_FREQUENCY = 1 / 500


def sparse_weights(axis: Axis, method: Method) -> sparse.csr_array:
    """The weights of a method of ours along one axis: (count, source) float32."""
    first, taps, weights = axis_weights(axis, method)
    reach = np.arange(weights.shape[1])
    used = reach < taps[:, None]
    bounds = np.concatenate([[0], np.cumsum(taps)])
    return sparse.csr_array((weights[used], (first[:, None] + reach)[used], bounds), shape=(axis.count, axis.source))


def dense_weights(axis: Axis, method: Method) -> Doubles:
    """The weights of any method, without rounding to bytes: (count, source) float64."""
    if method.library:
        return library_weights(axis, method)
    return np.asarray(sparse_weights(axis, method).toarray(), np.float64)


def respond(name: str, scale: float) -> Response:
    """The response of a method at one scale, in float64, from the weights that `shard` applies.

    Args:
        name: of the method.
        scale: source samples per output sample, rounded to n / 256.

    Raises:
        RefusedError: the scale does not shrink, or there is no such method.
    """
    source = math.floor(OUTPUT_SAMPLES * scale + 0.5)
    if source <= OUTPUT_SAMPLES:
        raise RefusedError(f"`scales`: {scale:g} does not shrink; responses need more than 1 source sample per output")
    weights = dense_weights(Axis(source, OUTPUT_SAMPLES, 0, OUTPUT_SAMPLES), find_method(name))
    return response_of(weights, name, scale)


def response_of(weights: Doubles, name: str, scale: float) -> Response:
    """The response of (outputs, source) weights of a whole axis, under a name and a nominal scale."""
    outputs, source = weights.shape
    ratio = source / outputs
    limit = 1 / (2 * ratio)
    passed, stopped = _midpoints(0.0, limit), _midpoints(limit, 0.5)
    natural = np.exp(_midpoints(math.log(LOWEST_FREQUENCY), math.log(limit)))
    drawn = np.linspace(0.0, 0.5, DRAWN)
    inner = slice(BORDER_SAMPLES, outputs - BORDER_SAMPLES)
    centres = ((np.arange(outputs) + 0.5) * ratio - 0.5)[inner]
    alias = (np.abs(frequency_response(weights[inner], centres, stopped)) ** 2).mean(axis=0)
    others = np.concatenate([passed, natural, drawn, [limit / 2]])
    gains = np.abs(frequency_response(weights[inner], centres, others).mean(axis=0))
    passed_gains, natural_gains, drawn_gains = gains[:CELLS], gains[CELLS : 2 * CELLS], gains[2 * CELLS : -1]
    return Response(
        method=name,
        scale=scale,
        frequencies=tuple(drawn.tolist()),
        gains=tuple(drawn_gains.tolist()),
        alias_white_db=_decibels(float(alias.mean())),
        alias_natural_db=_decibels(float(np.average(alias, weights=stopped**-2))),
        passband_white=float((passed_gains**2).mean()),
        # Cells of equal ratio have widths proportional to f, so 1/f^2 of power weighs 1/f.
        passband_natural=float(np.average(natural_gains**2, weights=1 / natural)),
        half_nyquist_gain=float(gains[-1]),
        jitter_px=float(np.std(weights[inner] @ np.arange(source) - centres)),
    )


def frequency_response(weights: Doubles, centres: Doubles, frequencies: Doubles) -> NDArray[np.complex128]:
    """H_i(f) of each row of weights, summed over its few taps only: (rows, frequencies)."""
    used = weights != 0.0
    first = used.argmax(axis=1)
    taps = int((weights.shape[1] - used[:, ::-1].argmax(axis=1) - first).max())
    reach = np.arange(taps)
    near = np.take_along_axis(np.pad(weights, [(0, 0), (0, taps)]), first[:, None] + reach, axis=1)
    about_first = near @ np.exp(-2j * np.pi * reach[:, None] * frequencies)
    return np.asarray(about_first * np.exp(2j * np.pi * (centres - first)[:, None] * frequencies))


def _midpoints(low: float, high: float) -> Doubles:
    return low + (np.arange(CELLS) + 0.5) * (high - low) / CELLS


def _decibels(energy: float) -> float:
    return round(10 * math.log10(max(energy, 1e-12)), 9) + 0.0  # no -0.0 of float noise

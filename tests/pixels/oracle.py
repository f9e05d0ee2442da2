"""The definition of the methods once more, in float64 and dense matrices: slow, separate, for tests only."""

import math

import numpy as np

KERNELS = {
    "triangle": (1, lambda x: 1 - abs(x)),
    "cubic": (2, lambda x: keys(abs(x), -0.5)),
    "mitchell": (2, lambda x: mitchell(abs(x))),
    "lanczos2": (2, lambda x: np.sinc(x) * np.sinc(x / 2)),
    "lanczos3": (3, lambda x: np.sinc(x) * np.sinc(x / 3)),
    "gaussian": (2, lambda x: math.exp(-2 * x * x)),
    "hamming": (1, lambda x: np.sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x))),
}
NAMED = {
    "bilinear": "triangle:point",
    "lanczos": "lanczos3:scaled",
    "antialias": "gaussian:scaled",
    "bilinear-aa": "triangle:scaled",
    "bicubic": "cubic:scaled",
}


def keys(x: float, a: float) -> float:
    """Keys' cubic."""
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a


def mitchell(x: float, b: float = 1 / 3, c: float = 1 / 3) -> float:
    """Mitchell and Netravali's cubic."""
    if x < 1:
        return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
    return ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6


def matrix(n: int, m: int, method: str) -> np.ndarray:
    """(m, n) float64 weights of one axis."""
    weights = np.zeros((m, n))
    scale = n / m
    for i in range(m):
        if method == "nearest":
            weights[i, (2 * i + 1) * n // (2 * m)] = 1
            continue
        if method == "area":
            for k in range(n):
                weights[i, k] = max(0.0, min((i + 1) * scale, k + 1) - max(i * scale, k))
        else:
            name, support = NAMED.get(method, method).split(":")
            if (name, support) == ("gaussian", "scaled") and m > n:
                name = "triangle"
            radius, kernel = KERNELS[name]
            factor = max(scale, 1) if support == "scaled" else 1
            centre = (i + 0.5) * scale - 0.5
            for k in range(n):
                if abs(k - centre) < radius * factor:
                    weights[i, k] = kernel((k - centre) / factor)
        weights[i] /= weights[i].sum()
    return weights


def srgb_to_linear(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, inverted."""
    x = np.clip(x, 0, 1)
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)


def resample(image: np.ndarray, full: tuple[int, int], method: str, linear_light: bool = False) -> np.ndarray:
    """The whole target, HWC float64 in 0..255, neither rounded nor clipped (linear light is clipped)."""
    values = srgb_to_linear(image / 255) if linear_light else image.astype(np.float64)
    rows = matrix(image.shape[0], full[0], method)
    columns = matrix(image.shape[1], full[1], method)
    result = np.einsum("ik,klc,jl->ijc", rows, values, columns, optimize=True)
    return linear_to_srgb(result) * 255 if linear_light else result

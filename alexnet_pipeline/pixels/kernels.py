"""The downsampling methods as data: names, kernels, supports and exact definitions."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from alexnet_pipeline.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Kernel:
    """A continuous kernel k(x), zero from `radius` on.

    Attributes:
        code: identifies the kernel in compiled code.
        radius: half width in output samples (scaled) or source pixels (point).
        formula: k(x) for |x| < radius, before normalisation.
    """

    code: int
    radius: float
    formula: str


@dataclass(frozen=True, slots=True)
class Method:
    """A downsampling method.

    Attributes:
        name: canonical name.
        kernel: name in `KERNELS`, or `nearest`, or `area`, or the name of a library's filter.
        support: `scaled` widens the kernel by the downscaling factor, `point` does not, `""` is for no kernel.
        library: `""` for our engine, else `pillow` or `opencv`.
        definition: the formula, in one line.
    """

    name: str
    kernel: str
    support: str
    library: str
    definition: str

    @property
    def directory(self) -> str:
        """The name as a folder name: `pillow:lanczos` becomes `pillow-lanczos`."""
        return self.name.replace(":", "-")


# Sources: Keys 1981 (cubic, a = -1/2), Mitchell and Netravali 1988 (B = C = 1/3), Duchon 1979 (Lanczos).
# The Gaussian's sigma is half an output sample, cut at four sigma.
KERNELS = {
    "triangle": Kernel(0, 1.0, "1 - |x|"),
    "cubic": Kernel(1, 2.0, "Keys' cubic convolution, a = -1/2"),
    "mitchell": Kernel(2, 2.0, "Mitchell-Netravali cubic, B = C = 1/3"),
    "lanczos2": Kernel(3, 2.0, "sinc(x) sinc(x/2)"),
    "lanczos3": Kernel(4, 3.0, "sinc(x) sinc(x/3)"),
    "gaussian": Kernel(5, 2.0, "exp(-2 x^2)"),
    "hamming": Kernel(6, 1.0, "sinc(x) (0.54 + 0.46 cos(pi x))"),
}
SUPPORTS = {"scaled": "f = max(n/m, 1)", "point": "f = 1"}

# Common names for pairs of kernel and support.
NAMED = {
    "bilinear": ("triangle", "point"),
    "lanczos": ("lanczos3", "scaled"),
    "antialias": ("gaussian", "scaled"),
    "bilinear-aa": ("triangle", "scaled"),
    "bicubic": ("cubic", "scaled"),
}
WITHOUT_KERNEL = {
    "nearest": "source sample floor((2i + 1) n / 2m)",
    "area": "exact coverage of source pixels by output pixel [i n/m, (i + 1) n/m)",
}
# Filters of other libraries, for comparison.
LIBRARY_FILTERS = {
    "pillow": ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
    "opencv": ("nearest", "nearest-exact", "linear", "cubic", "area", "lanczos4", "area+cubic"),
}


def methods() -> list[Method]:
    """List every named method with its definition; each KERNEL:SUPPORT pair is a method, too."""
    return [find_method(name) for name in method_names()]


def method_names() -> tuple[str, ...]:
    """The names of the methods that are not KERNEL:SUPPORT pairs."""
    ours = (*WITHOUT_KERNEL, *NAMED)
    theirs = (f"{library}:{name}" for library, names in LIBRARY_FILTERS.items() for name in names)
    return (*ours, *theirs)


def find_method(name: str) -> Method:
    """Find a method by its name: `lanczos`, `cubic:point`, `pillow:lanczos`.

    Raises:
        RefusedError: there is no such method; the message names the nearest ones.
    """
    if name in WITHOUT_KERNEL:
        return Method(name, name, "", "", WITHOUT_KERNEL[name])
    first, _, second = name.partition(":")
    if second and second in LIBRARY_FILTERS.get(first, ()):
        return Method(name, second, "", first, f"{first}'s own {second!r} filter")
    kernel, support = NAMED.get(name, (first, second))
    if kernel not in KERNELS or support not in SUPPORTS:
        raise RefusedError(_unknown(name))
    return Method(name, kernel, support, "", _definition(kernel, support))


def _definition(kernel: str, support: str) -> str:
    entry = KERNELS[kernel]
    text = f"k(x) = {entry.formula}, |x| < {entry.radius:g}, {SUPPORTS[support]}"
    if (kernel, support) == ("gaussian", "scaled"):
        text += "; triangle where an axis is enlarged"
    return text


def _unknown(name: str) -> str:
    pairs = [f"{kernel}:{support}" for kernel in KERNELS for support in SUPPORTS]
    close = difflib.get_close_matches(name, [*method_names(), *pairs], n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`methods` lists them"
    return f"there is no method {name!r}; {hint}"

"""Options are declared once: types, bounds, defaults and words follow from the fields of records."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import alexnet_pipeline
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import MAX_SEED, make, option, parameters_of, takes_options


@dataclass(frozen=True)
class Sizes:
    """Options of every kind."""

    side_px: int = option(4, "A side.", least=1, most=9)
    rate: float = option(0.5, "A rate.", above=0, below=1)
    wait_s: float | None = option(None, "A wait.", default_text="for ever")
    kind: Literal["a", "b"] = option("a", "A kind.")
    names: tuple[str, ...] = option((), "Names.", flag="name")
    loud: bool = option(False, "Whether.")
    place: Path | None = option(None, "A place.")
    span: tuple[int, int] | None = option(None, "A span.")
    inner: int = 3


def test_parameters_drop_the_unit_of_fields() -> None:
    """`side_px` is the parameter `side`; what is not declared an option is none."""
    assert [parameter.name for parameter in parameters_of(Sizes)] == [
        "side", "rate", "wait", "kind", "names", "loud", "place", "span",
    ]  # fmt: skip
    assert parameters_of(Sizes)[4].flag == "name"


def test_values_are_brought_to_their_types() -> None:
    """From text, from NumPy, and a text where several are meant is the only one."""
    given = {"side": np.int64(3), "rate": "0.25", "names": "xy", "place": "a/b", "span": "2:5", "other": 1}
    assert make(Sizes, given) == Sizes(side_px=3, rate=0.25, names=("xy",), place=Path("a/b"), span=(2, 5))
    assert make(Sizes, {"wait": None, "names": ["x", "y"], "span": (0, 1)}).names == ("x", "y")
    assert make(Sizes, {"rate": 0.25}, Sizes(side_px=7, inner=5)) == Sizes(side_px=7, rate=0.25, inner=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"side": 0}, "`side`: 0 is out of range; expected at least 1 and at most 9"),
        ({"side": "many"}, "not a whole number"),
        ({"side": 1.5}, "not a whole number"),
        ({"side": True}, "not a whole number"),
        ({"rate": float("nan")}, "not a finite number"),
        ({"rate": "inf"}, "not a finite number"),
        ({"rate": 1}, "less than 1"),
        ({"kind": "c"}, "not one of a, b"),
        ({"names": [3]}, "not text"),
        ({"loud": "yes"}, "true or false"),
        ({"span": "5:5"}, "0:100 means 0 to 99"),
        ({"span": "x"}, "not a range"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given, words) -> None:
    """In one line that says what was found and what was expected."""
    with pytest.raises(RefusedError) as refused:
        make(Sizes, given)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_functions_take_the_options_of_records() -> None:
    """Signature and docstring name every one, and an unknown name is Python's own error."""

    @takes_options(Sizes)
    def work(place: str, *, loudly: bool = False, **options: object) -> Sizes:
        """Work.

        Args:
            place: where.
            **options: see below.

        Returns:
            What was asked.
        """
        return make(Sizes, options)

    assert list(inspect.signature(work).parameters)[:3] == ["place", "side", "rate"]
    assert "side: A side. Default: 4." in work.__doc__
    assert "wait: A wait. Default: for ever." in work.__doc__
    assert "kind: A kind. One of 'a', 'b'. Default: 'a'." in work.__doc__
    assert "**options" not in work.__doc__
    assert work("x", side=5).side_px == 5
    with pytest.raises(TypeError, match="unexpected keyword argument 'sid'"):
        work("x", sid=5)


@pytest.mark.parametrize(
    "name", ["shard", "estimate", "verify", "inspect", "compare", "train", "evaluate", "bench", "sample", "resize"]
)
def test_public_functions_document_every_parameter(name) -> None:
    """`help(alexnet_pipeline.shard)` says all by itself."""
    if name in {"train", "evaluate", "bench"}:
        pytest.importorskip("torch", reason="the extra 'train' is not installed")
    function = getattr(alexnet_pipeline, name)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is not parameter.VAR_KEYWORD, parameter.name
        assert f"{parameter.name}: " in function.__doc__, parameter.name


def test_a_seed_is_one_that_every_generator_takes() -> None:
    """10 to the 13th once gave a traceback in the middle of a run."""
    with pytest.raises(RefusedError, match=f"at most {MAX_SEED:,}"):
        alexnet_pipeline.shard("a", "b", seed=10**13)

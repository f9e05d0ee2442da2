"""A comparison's JSON in, its records out, so that a page can be drawn again."""

from __future__ import annotations

from typing import Any

from alexnet_pipeline.compare.records import (
    Comparison,
    MatrixEntry,
    Measured,
    MethodNumbers,
    Metric,
    PairedTest,
    PictureNumbers,
    Response,
    ShiftCell,
    TrainedCell,
    TrainedPair,
    Training,
)
from alexnet_pipeline.records import reject_from_json

Data = dict[str, Any]


def comparison_from_json(data: Data) -> Comparison:
    """Inverse of `dataclasses.asdict` and JSON.

    Raises:
        TypeError, KeyError: a field is missing, unknown or of another kind.
    """
    return Comparison(
        **{
            **data,
            "scales": tuple(data["scales"]),
            "methods": tuple(map(_method, data["methods"])),
            "metrics": tuple(Metric(**entry) for entry in data["metrics"]),
            "tests": tuple(PairedTest(**entry) for entry in data["tests"]),
            "pictures": tuple(map(_picture, data["pictures"])),
            "rejects": tuple(map(reject_from_json, data["rejects"])),
            "spectrum_frequencies": tuple(data["spectrum_frequencies"]),
            "training": data["training"] and _training(data["training"]),
            "verdict": tuple(data["verdict"]),
        }
    )


def _method(data: Data) -> MethodNumbers:
    return MethodNumbers(
        **{
            **data,
            "responses": tuple(map(_response, data["responses"])),
            "measured": tuple(Measured(**entry) for entry in data["measured"]),
            "spectrum": tuple(data["spectrum"]),
        }
    )


def _response(data: Data) -> Response:
    return Response(**{**data, "frequencies": tuple(data["frequencies"]), "gains": tuple(data["gains"])})


def _picture(data: Data) -> PictureNumbers:
    values = {name: tuple(each) for name, each in data["values"].items()}
    top, left = data["window_px"]
    return PictureNumbers(**{**data, "window_px": (top, left), "values": values})


def _training(data: Data) -> Training:
    return Training(
        **{
            **data,
            "seeds": tuple(data["seeds"]),
            "cells": tuple(TrainedCell(**entry) for entry in data["cells"]),
            "shifts": tuple(ShiftCell(**entry) for entry in data["shifts"]),
            "matrix": tuple(MatrixEntry(**entry) for entry in data["matrix"]),
            "pairs": tuple(TrainedPair(**entry) for entry in data["pairs"]),
        }
    )

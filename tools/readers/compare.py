"""Compare what a reader returned with what lies in the shards."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from readers.readings import Reading
from readers.truth import Sample, Truth

from alexnet_pipeline.records import Encoding

# What a sample is found by, in this order, as far as a reader tells.
IDENTITIES = ("key", "record", "pixels")


@dataclass(slots=True)
class Row:
    """The result of one way to use a reader.

    Attributes:
        reader: the reader's name.
        version: its version.
        way: how it was used.
        expected: number of samples to read.
        read: number of samples that it returned.
        wrong_labels: number of those with another label or class name.
        wrong_pixels: number of those with other bytes or pixels.
        notes: faults.
        compared: what was compared, by encoding: `bytes`, `pixels` or both.
    """

    reader: str
    version: str
    way: str
    expected: int = 0
    read: int = 0
    wrong_labels: int = 0
    wrong_pixels: int = 0
    notes: list[str] = field(default_factory=list)
    compared: dict[str, str] = field(default_factory=dict)

    def is_right(self) -> bool:
        """Whether every sample was read once, and as it is."""
        return bool(self.read) and not (self.notes or self.wrong_labels or self.wrong_pixels)


def compare(row: Row, encoding: Encoding, readings: list[Reading], truth: Truth) -> None:
    """Add to a row what was read of one encoding."""
    row.expected += sum(map(len, truth.values()))
    row.read += len(readings)
    identity = next((name for name in IDENTITIES if readings and getattr(readings[0], name)), "key")
    waiting: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for place, samples in truth.items():
        for each in samples:
            waiting[*place, getattr(each, identity)].append(each)
    unexpected = 0
    for reading in readings:
        candidates = waiting[reading.method, reading.split, getattr(reading, identity)]
        if not candidates:
            unexpected += 1
            row.wrong_pixels += identity == "pixels"
            continue
        # Two samples may have the same pixels; then the one with this label was meant, if there is one.
        found = next((each for each in candidates if each.label == reading.label), candidates[0])
        candidates.remove(found)
        row.wrong_labels += found.label != reading.label or reading.wnid not in {None, found.wnid}
        row.wrong_pixels += not same_image(reading, found)
    unread = sum(map(len, waiting.values()))
    if unexpected or unread:
        row.notes.append(f"{encoding}: {unread} not read, {unexpected} unknown or read twice")
    given = {"bytes": any(each.image for each in readings), "pixels": any(each.pixels for each in readings)}
    row.compared[encoding] = " and ".join(name for name, any_given in given.items() if any_given)


def same_image(reading: Reading, found: Sample) -> bool:
    """Whether all that a reader gives of an image is right, and that it gives something."""
    pairs = ((reading.image, found.image), (reading.pixels, found.pixels))
    given = [(one, other) for one, other in pairs if one is not None]
    return bool(given) and all(one == other for one, other in given)

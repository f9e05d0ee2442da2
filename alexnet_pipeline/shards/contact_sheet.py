"""A contact sheet: decoded samples at full size in one image, with label, words and key below each, and a title."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Longest side of an image on the sheet: that of the shards by default, so that those are shown pixel for pixel.
IMAGE_PX = 256
# Space around everything, and the height of a line of captions and of the title.
GAP_PX, LINE_PX, TITLE_LINE_PX = 12, 18, 28
MOST_COLUMNS = 8
FONT = cv2.FONT_HERSHEY_SIMPLEX
TITLE_SCALE, WORDS_SCALE, KEY_SCALE = 0.7, 0.48, 0.4
PAPER, INK, SOFT = 255, (24, 24, 24), (96, 96, 96)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a sheet shows of a sample.

    Attributes:
        image: HWC uint8, RGB.
        words: label and words of its class.
        key: of the sample.
    """

    image: Bytes
    words: str
    key: str


def contact_sheet(pictures: Sequence[Picture], title: str) -> Bytes:
    """Draw a sheet that is about as wide as high; texts are wrapped, never cut.

    Images are at most `IMAGE_PX` wide and high: larger ones are reduced, smaller ones enlarged by a whole factor
    without smoothing. What the font lacks is drawn as the letter without its accent, or as a question mark.

    Returns:
        HWC uint8, RGB.
    """
    columns = min(MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(pictures)))))
    width = GAP_PX + columns * (IMAGE_PX + GAP_PX)
    heading = wrapped(title, width - 2 * GAP_PX, TITLE_SCALE)
    parts = [_texts(width, [(line, TITLE_SCALE, INK) for line in heading], TITLE_LINE_PX)]
    parts += [_row(pictures[start : start + columns], width) for start in range(0, len(pictures), columns)]
    return np.concatenate(parts)


def wrapped(text: str, width_px: int, scale: float) -> list[str]:
    """Split a text into lines that fit a width, at spaces where there are some."""
    lines: list[str] = []
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width_px(longer, scale) <= width_px:
            lines[-1] = longer
            continue
        lines.append(word)
        while _width_px(lines[-1], scale) > width_px and len(lines[-1]) > 1:
            line = lines.pop()
            fits = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or _width_px(line[:n], scale) <= width_px)
            lines += [line[:fits], line[fits:]]
    return lines


def plain(text: str) -> str:
    """A text in the ASCII that every version of OpenCV draws."""
    letters = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in letters)


def _row(pictures: Sequence[Picture], width: int) -> Bytes:
    """Images side by side with their captions, as high as the longest of these needs."""
    shown = [_fitted(picture.image) for picture in pictures]
    images = np.full((max(image.shape[0] for image in shown), width, 3), PAPER, np.uint8)
    captions = []
    for number, (image, picture) in enumerate(zip(shown, pictures, strict=True)):
        left = GAP_PX + number * (IMAGE_PX + GAP_PX)
        images[: image.shape[0], left : left + image.shape[1]] = image
        lines = [(line, WORDS_SCALE, INK) for line in wrapped(picture.words, IMAGE_PX, WORDS_SCALE)]
        lines += [(line, KEY_SCALE, SOFT) for line in wrapped(picture.key, IMAGE_PX, KEY_SCALE)]
        captions.append((left, lines))
    below = np.full((max(len(lines) for _, lines in captions) * LINE_PX + GAP_PX + 4, width, 3), PAPER, np.uint8)
    for left, lines in captions:
        _write(below, left, lines, LINE_PX)
    return np.concatenate([images, below])


def _texts(width: int, lines: Sequence[tuple[str, float, tuple[int, int, int]]], line_px: int) -> Bytes:
    """Lines on a strip of their own."""
    strip = np.full((GAP_PX + len(lines) * line_px + 4, width, 3), PAPER, np.uint8)
    _write(strip, GAP_PX, lines, line_px)
    return strip


def _write(on: Bytes, left: int, lines: Sequence[tuple[str, float, tuple[int, int, int]]], line_px: int) -> None:
    for number, (line, scale, colour) in enumerate(lines, 1):
        cv2.putText(on, line, (left, number * line_px), FONT, scale, colour, 1, cv2.LINE_AA)


def _width_px(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, scale, 1)[0][0])


def _fitted(image: Bytes) -> Bytes:
    height, width = image.shape[:2]
    factor = IMAGE_PX // max(height, width)
    if factor:
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    scale = IMAGE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

"""Damage bytes and JSON in the ways of bad disks and of people who mean harm."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

MARKS = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"../",
    b"\n",
    b"\r",
    b"%s",
    b"[" * 200,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**30,
    1e308,
    -1e308,
    5e-324,
    "",
    "x",
    "a\0b",
    "\x1b]0;x\x07",
    "../../../../etc/passwd",
    "/dev/zero",
    "/etc/passwd",
    ".",
    "..",
    "\ud800",
    "9" * 5000,
    [],
    {},
    [[]],
    [None] * 3,
    {"a": 1},
    [0.5, 1, 2],
)


def damage(data: bytes, draw: random.Random) -> bytes:
    """Change bytes in up to four places, or cut, double, move or drop a part."""
    for _ in range(draw.randint(1, 4)):
        size = len(data)
        at, end = sorted((draw.randint(0, size), draw.randint(0, size)))
        end = min(end, at + draw.choice((1, 2, 4, 16, 512, size)))
        kind = draw.randrange(8)
        if kind < 3 and size:
            byte = draw.randrange(size)
            data = data[:byte] + bytes([data[byte] ^ 1 << draw.randrange(8)]) + data[byte + 1 :]
        elif kind == 3:
            mark = draw.choice(MARKS)
            data = data[:at] + mark + data[at + len(mark) :]
        elif kind == 4:
            data = data[:at] + data[end:]
        elif kind == 5:
            data = data[:end] + data[at:end] * draw.choice((1, 3)) + data[end:]
        elif kind == 6:
            data = data[:at] + draw.randbytes(end - at) + data[end:]
        else:
            data = data[:at] if draw.random() < 0.5 else data[at:]
    return data


def damage_json(text: bytes, draw: random.Random) -> bytes:
    """Put a hostile value into one to three places of a JSON document, or damage its bytes."""
    if draw.random() < 0.2:
        return draw.choice((b"[" * 100_000, b'{"a":' * 100_000, damage(text, draw)))
    value = json.loads(text)
    for _ in range(draw.randint(1, 3)):
        value = _replaced(value, draw)
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii", "backslashreplace")


def _replaced(value: Any, draw: random.Random) -> Any:
    """A copy of a value with a hostile one somewhere in it."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        changed = dict(value)
        if draw.random() < 0.1:
            del changed[key]
        else:
            changed[key] = _replaced(value[key], draw)
        return changed
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        if draw.random() < 0.2:
            return value[:at] + value[at : at + 1] * draw.choice((0, 2, 50)) + value[at + 1 :]
        return [*value[:at], _replaced(value[at], draw), *value[at + 1 :]]
    return copy.deepcopy(draw.choice(VALUES))

"""The fenced blocks of a page, and the notes that say why one is not run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
# Pages with nothing to run, or whose blocks are for other programs.
PAGES = tuple(sorted(path.stem for path in DOCS.glob("*.md")))
_BLOCK = re.compile(r"^(?:<!-- (?P<note>.+?) -->\n)?^```(?P<kind>\S*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NOTES = ("not run: ", "run by tools/check_readers.py: ")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        kind: `sh`, `python`, `text`, or another language.
        body: its lines.
        note: why it is not run here; empty if it is.
        follows: whether only blank lines lie between it and the block before.
    """

    kind: str
    body: str
    note: str
    follows: bool

    def lines(self) -> list[str]:
        """The lines of commands, joined where they are continued, without comments."""
        joined = self.body.replace("\\\n", " ")
        return [line for line in joined.splitlines() if shlex.split(line, comments=True)]


def blocks_of(page: str) -> list[Block]:
    """All blocks of a page, in their order."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    found, end = [], 0
    for match in _BLOCK.finditer(text):
        follows = bool(found) and not text[end : match.start()].strip()
        found.append(Block(match["kind"], match["body"], match["note"] or "", follows))
        end = match.end()
    return found


def commands_of(block: Block) -> list[list[str]]:
    """The arguments of each `alexnet-pipeline` of a block."""
    words = (shlex.split(line, comments=True) for line in block.lines())
    return [each[1:] for each in words if each[0] == "alexnet-pipeline"]

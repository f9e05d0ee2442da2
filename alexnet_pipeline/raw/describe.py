"""What was recognised of a source, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from alexnet_pipeline.raw.forms import NO_IMAGE
from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.raw.source import Contents
from alexnet_pipeline.records import SourceAccount
from alexnet_pipeline.text import counted, printable

# Kinds of ignored files that are named; the manifest has them all.
SHOWN = 6


def contents_lines(contents: Contents) -> list[str]:
    """The layout with the images of each split and what is ignored, then evidence, rejects and notes."""
    account = contents.account
    splits = "; ".join(map(_split, contents.listings))
    lines = [f"{account.layout}: {splits}{_ignored(account)}", f"recognised by {account.evidence}"]
    for listing in contents.listings:
        reasons = Counter(reject.reason for reject in listing.rejects)
        if reasons:
            found = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
            lines.append(f"{listing.split}: {counted(len(listing.rejects), 'reject')} before reading: {found}")
    return [printable(line) for line in (*lines, *account.notes)]


def _split(listing: Listing) -> str:
    classes = sum(1 for total in listing.class_totals() if total)
    return f"{listing.split} {counted(len(listing), 'image')} in {counted(classes, 'class')}"


def _ignored(account: SourceAccount) -> str:
    return f"; ignored: {', '.join(_kinds(account))}" if account.ignored else ""


def _kinds(account: SourceAccount) -> Iterator[str]:
    for each in account.ignored[:SHOWN]:
        place = f" in {each.what}" if each.what.endswith("/") else f" {each.what}"
        yield f"{each.files:,}{place}" + ("" if each.why == NO_IMAGE else f" ({each.why})")
    rest = sum(each.files for each in account.ignored[SHOWN:])
    if rest:
        yield f"{rest:,} others"

"""Check that other software reads our shards with no wrong label and no wrong pixel.

    python tools/check_readers.py --environments FOLDER

The embedded sample, or `--source`, is sharded with two methods as JPEG, PNG and arrays. Every reader gets a virtual
environment of its own, in which its script in `readers/` reads all shards. What it found is compared with what Python's
`tarfile` finds: encoded bytes where the reader gives them, and pixels where it decodes. The examples of docs/readers.md
are run, too, and the labels that they read are compared. The result is printed as Markdown; the exit status is 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from readers.compare import Row, compare
from readers.readings import Reading
from readers.snippets import PACKAGES, noted_snippets
from readers.truth import Truth, check_labels, count_distinct, read_truth

from alexnet_pipeline import sample, shard, verify
from alexnet_pipeline.records import EXTENSIONS, Encoding

METHODS = ("lanczos", "antialias")
ENCODINGS: tuple[Encoding, ...] = ("jpg", "png", "raw")
SHARD_IMAGES = 64
READER_TIMEOUT_S = 1200
# The range that the package is tested with.
TORCH = "torch>=2.11,<2.14"
# Packages that the report names beside the reader, because they decode or read for it.
NAMED = ("datasets", "torch", "torchvision", "pillow", "numpy", "webdataset", "pyarrow")


@dataclass(frozen=True, slots=True)
class Reader:
    """Software that reads shards.

    Attributes:
        name: its name, and that of its environment.
        packages: what to install; the first is the software itself.
        encodings: the encodings that it can read.
    """

    name: str
    packages: tuple[str, ...]
    encodings: tuple[Encoding, ...] = ENCODINGS


# Energon is the first, because it leaves files beside the shards, which must not disturb the others.
READERS = (
    Reader("energon", ("megatron-energon", TORCH)),
    Reader("webdataset", ("webdataset",)),
    Reader("wids", ("wids", TORCH, "pillow")),
    Reader("datasets", ("datasets", "pillow")),
    Reader("timm", ("timm", "webdataset", TORCH), ("jpg", "png")),
    Reader("ray", ("ray[data]", "pillow")),
    Reader("dali", ("nvidia-dali-cuda130",)),
)


def make_shards(source: Path, out: Path, limit: int) -> dict[Encoding, Truth]:
    """Shard the source in all encodings, and read the truth."""
    truth = {}
    for encoding in ENCODINGS:
        folder, options = out / encoding, {"limit": limit, "workers": 2, "progress": False}
        shard(source, folder, methods=METHODS, encoding=encoding, shard_size=SHARD_IMAGES, **options)
        truth[encoding] = read_truth(folder, encoding)
    return truth


def make_environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """The interpreter of a virtual environment with the packages, which is kept for later runs."""
    python, made = folder / "bin" / "python", folder / "packages.json"
    if not made.exists() or json.loads(made.read_bytes()) != list(packages):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
        run([str(python), "-m", "pip", "install", "--quiet", *packages])
        made.write_text(json.dumps(packages), "ascii")
    return python


def run(command: list[str], cwd: Path | None = None, **variables: str) -> str:
    """Run a command without our `PYTHONPATH`, and return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        capture_output=True,
        check=True,
        text=True,
        timeout=READER_TIMEOUT_S,
        cwd=cwd,
        env=inherited | variables,
    )
    return done.stdout


def versions(python: Path, reader: Reader) -> dict[str, str]:
    """Versions of the reader, which is first, and of the named packages in its environment."""
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format", "json"]))
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in listed}
    own = reader.packages[0].partition("[")[0]
    return {name: found[name] for name in dict.fromkeys((own, *NAMED)) if name in found}


def read_all(reader: Reader, python: Path, shards: Path) -> dict[Encoding, list[Reading]]:
    """Run the reader's script over every encoding that it can read."""
    script, readings = Path(__file__).parent / "readers" / f"read_{reader.name}.py", {}
    for encoding in reader.encodings:
        with tempfile.TemporaryDirectory() as scratch:
            output = Path(scratch) / "readings.jsonl"
            paths = [str(shards / encoding), EXTENSIONS[encoding], scratch, str(output)]
            run([str(python), str(script), *paths], HF_HOME=scratch, HF_HUB_OFFLINE="1")
            lines = output.read_text("ascii").splitlines()
        readings[encoding] = [Reading(**json.loads(line)) for line in lines]
    return readings


def check(reader: Reader, environments: Path, shards: Path, truth: dict[Encoding, Truth]) -> tuple[list[Row], str]:
    """Check one reader: a row for each way to use it; then what was installed, and what `verify` says afterwards."""
    version, used = "", ""
    try:
        python = make_environment(environments / reader.name, reader.packages)
        found = versions(python, reader)
        version, used = next(iter(found.values())), ", ".join(" ".join(each) for each in found.items())
        readings = read_all(reader, python, shards)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(error.stderr or error, file=sys.stderr)
        last = str(error.stderr or error).strip().splitlines()[-1]
        return [Row(reader.name, version, "failed", notes=[last])], used
    ways = list(dict.fromkeys(each.way for several in readings.values() for each in several))
    rows = [Row(reader.name, version, way) for way in ways or ["nothing was read"]]
    for row in rows:
        for encoding, several in readings.items():
            compare(row, encoding, [each for each in several if each.way == row.way], truth[encoding])
    found_by_verify = verify(shards, progress=False).problems
    rows[-1].notes += [f"verify: {each.path} {each.text}" for each in found_by_verify]
    return rows, f"{used}; problems that `verify` finds afterwards: {len(found_by_verify)}"


def check_snippet(name: str, code: str, environments: Path, scratch: Path, truth: Truth) -> str:
    """Run an example where the JPEG shards are `shards`; a row that ends with `yes` if it read their labels."""
    shards = scratch / "shards"
    if not shards.exists():
        shards.symlink_to(scratch.parent / "shards" / "jpg")
    expected = sorted(sample.label for sample in truth["lanczos", "train"])
    try:
        python = make_environment(environments / f"example-{name}", PACKAGES[name])
        readers = str(Path(__file__).parent / "readers")
        offline = {"HF_HOME": str(scratch), "HF_HUB_OFFLINE": "1", "PYTHONPATH": readers}
        printed = run([str(python), "-c", code], cwd=scratch, **offline)
        labels = json.loads(printed.splitlines()[-1])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(error.stderr or error, file=sys.stderr)
        return f"| {name} | 0 of {len(expected):,} | no |"
    return f"| {name} | {len(labels):,} of {len(expected):,} | {'yes' if labels == expected else 'no'} |"


def report(rows: list[Row], used: list[str]) -> Iterator[str]:
    """The lines of the result in Markdown."""
    yield "| reader | version | samples read | wrong labels | wrong pixels | how; what was compared |"
    yield "|---|---|--:|--:|--:|---|"
    for row in rows:
        compared = defaultdict(list)
        for encoding, what in row.compared.items():
            compared[what].append(encoding)
        words = [f"{what} of {', '.join(encodings)}" for what, encodings in compared.items()]
        note = "; ".join([row.way, *words, *(f"**{text}**" for text in row.notes)])
        counts = f"{row.read:,} of {row.expected:,} | {row.wrong_labels} | {row.wrong_pixels}"
        yield f"| {row.reader} | {row.version} | {counts} | {note} |"
    yield from ("", *(f"- {line}" for line in used if line))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="raw images; by default the embedded sample is made")
    parser.add_argument("--images", type=int, default=240, help="most images of a split")
    parser.add_argument("--environments", type=Path, help="folder to keep the virtual environments in")
    names = dict.fromkeys((*(reader.name for reader in READERS), *PACKAGES))
    parser.add_argument("--only", nargs="+", choices=list(names), help="readers and examples to check")
    return parser.parse_args()


def main() -> None:
    """Check all readers, and print the result."""
    given = parse()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = given.source or scratch / "sample"
        if not given.source:
            sample(source, train_images=given.images, val_images=given.images // 4)
        truth = make_shards(source, scratch / "shards", given.images)
        checked = sum(check_labels(source, each) for each in truth.values())
        environments = (given.environments or scratch / "environments").resolve()
        rows: list[Row] = []
        used: list[str] = []
        for reader in READERS:
            if not given.only or reader.name in given.only:
                print(f"{reader.name} ...", file=sys.stderr)
                more, line = check(reader, environments, scratch / "shards", truth)
                rows, used = rows + more, [*used, line]
        (scratch / "examples").mkdir()
        examples = [
            check_snippet(name, code, environments, scratch / "examples", truth["jpg"])
            for name, code in noted_snippets().items()
            if not given.only or name in given.only
        ]

    print(f"# check_readers, {datetime.datetime.now(datetime.UTC).date()}\n")
    where = "--source SOURCE " if given.source else ""
    print(f"`python tools/check_readers.py {where}--images {given.images}`, Python {platform.python_version()}\n")
    for encoding, each in truth.items():
        sets = ", ".join(f"{method}/{split} {len(samples)}" for (method, split), samples in each.items())
        print(f"- {encoding}: {sets}; {count_distinct(each)} images are different in the two methods")
    print(f"- labels that were checked against the source's class folders: {checked:,}\n")
    print("\n".join(report(rows, used)))
    print("\n| example of docs/readers.md | samples read | right labels |\n|---|--:|---|")
    print("\n".join(examples))
    right = all(row.is_right() for row in rows) and all(row.endswith("| yes |") for row in examples)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()

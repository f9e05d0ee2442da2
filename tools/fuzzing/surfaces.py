"""What reads files of strangers: each surface makes a damaged input in a folder and reads it."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import random
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import alexnet_pipeline
from alexnet_pipeline.dataset.manifest import FileRecord, read_manifest, write_manifest
from alexnet_pipeline.errors import PipelineError
from fuzzing.mutate import damage, damage_json

SIZE_PX = 32


@dataclass(frozen=True)
class Surface:
    """Something that is read.

    Attributes:
        name: for the output.
        weight: share of all cases.
        read: reads a damaged input that it makes in an empty folder, from sound ones in another.
    """

    name: str
    weight: int
    read: Callable[[Path, Path, random.Random], None]


def make_sound(folder: Path) -> None:
    """Make the inputs that are damaged: images, a source in three layouts, data sets, a run."""
    from alexnet_pipeline import evaluate, sample, shard, train

    images = folder / "images"
    images.mkdir(parents=True)
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8), (61, 47))
    for suffix, options in (
        (".jpg", []),
        (".jpeg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".png", []),
        (".webp", []),
        (".tiff", []),
        (".bmp", []),
        (".gif", []),
    ):
        (images / f"a{suffix}").write_bytes(cv2.imencode(suffix, smooth, options)[1].tobytes())
    (images / "b.jpg.gz").write_bytes(gzip.compress((images / "a.jpg").read_bytes()))
    sample(folder / "ilsvrc", train_images=20, val_images=10, layout="ilsvrc")
    sample(folder / "folders", train_images=20, val_images=10)
    methods = ("nearest", "lanczos")
    shard(folder / "folders", folder / "sets", methods=methods, size=SIZE_PX, shard_size=6, progress=False)
    shard(folder / "folders", folder / "big", methods=methods[:1], size=80, shard_size=20, progress=False)
    shards = folder / "big" / "nearest"
    options = {"preset": "quarter", "steps": 1, "device": "cpu", "threads": 1, "batch_size": 8, "width": 0.05}
    train(shards, run_dir=folder / "run", progress=False, **options)
    evaluate(folder / "run", shards=shards / "val", device="cpu", progress=False)


def _image(sound: Path, folder: Path, draw: random.Random) -> None:
    from alexnet_pipeline.pixels.codec import decode

    path = draw.choice(sorted((sound / "images").iterdir()))
    decode(damage(path.read_bytes(), draw))


def _source_tar(sound: Path, folder: Path, draw: random.Random) -> None:
    """One of the original tars; every image that is listed is read."""
    shutil.copytree(sound / "ilsvrc", folder / "source")
    path = folder / "source" / draw.choice(("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"))
    data = path.read_bytes()
    if draw.random() < 0.5:  # most bytes are pixels: headers are worth more
        at = draw.choice([match.start() for match in re.finditer(rb"ustar", data)]) - 257
        data = data[:at] + damage(data[at : at + 512], draw)[:512].ljust(512, b"\0") + data[at + 512 :]
        path.write_bytes(data)
    else:
        path.write_bytes(damage(data, draw))
    _list(folder / "source")


def _zip(sound: Path, folder: Path, draw: random.Random) -> None:
    archive = shutil.make_archive(str(folder / "source"), "zip", sound / "folders")
    Path(archive).write_bytes(damage(Path(archive).read_bytes(), draw))
    _list(Path(archive))


def _list(source: Path) -> None:
    from alexnet_pipeline.raw.read import read_image
    from alexnet_pipeline.raw.source import open_source

    contents = open_source(source).read(())
    for listing in contents.listings:
        for position in range(min(4, len(listing))):
            read_image(listing.image(position))


def _devkit(sound: Path, folder: Path, draw: random.Random) -> None:
    from alexnet_pipeline.raw.devkit import read_devkit
    from alexnet_pipeline.raw.layouts.ilsvrc2012 import CHALLENGE

    name = "ILSVRC2012_devkit_t12.tar.gz"
    packed = (sound / "ilsvrc" / name).read_bytes()
    inner = gzip.decompress(packed)
    (folder / name).write_bytes(damage(packed, draw) if draw.random() < 0.2 else gzip.compress(damage(inner, draw), 1))
    read_devkit(folder / name, CHALLENGE)


def _labels(sound: Path, folder: Path, draw: random.Random) -> None:
    shutil.copytree(sound / "folders" / "val", folder / "source")
    files = [path.relative_to(folder / "source") for path in sorted((folder / "source").rglob("*.JPEG"))]
    rows = "file,class\n" + "".join(f"{path},{path.parts[0]}\n" for path in files)
    pairs = json.dumps({str(path): path.parts[0] for path in files})
    suffix, text = draw.choice(((".csv", rows), (".tsv", rows.replace(",", "\t")), (".txt", rows), (".json", pairs)))
    data = text.encode()
    path = folder / f"labels{suffix}"
    path.write_bytes(damage_json(data, draw) if suffix == ".json" else damage(data, draw))
    alexnet_pipeline.estimate(folder / "source", folder / "out", labels=path)


def _sealed(text: bytes, blank: bytes) -> bytes:
    """JSON with its digest made again, as somebody who means harm would."""
    pattern = re.compile(rb'"digest": "[^"]*"')
    emptied = pattern.sub(b'"digest": ""', text, count=1)
    digest = hashlib.sha256(emptied).hexdigest().encode()
    return emptied.replace(b'"digest": ""', b'"digest": "' + digest + b'"', 1) if blank in text else text


def _manifest(sound: Path, folder: Path, draw: random.Random) -> None:
    target = _copied_set(sound, folder, draw)
    path = target / "manifest.json"
    path.write_bytes(_sealed(damage_json(path.read_bytes(), draw), b"digest"))
    _read_set(target, draw)


def _shard_files(sound: Path, folder: Path, draw: random.Random) -> None:
    """A tar, index or mean image, in half of the cases with checksums that fit."""
    target = _copied_set(sound, folder, draw)
    path = draw.choice([path for path in sorted(target.iterdir()) if path.suffix in {".tar", ".idx", ".npy"}])
    path.write_bytes(damage(path.read_bytes(), draw))
    if draw.random() < 0.5:
        manifest = read_manifest(target)
        record = FileRecord.of(path.name, path.read_bytes())
        shards = (
            tuple(
                dataclasses.replace(shard, **{kind: record})
                if (file := getattr(shard, kind)) and file.name == path.name
                else shard
                for kind in (path.suffix[1:],)
                for shard in manifest.shards
            )
            if path.suffix != ".npy"
            else manifest.shards
        )
        files = tuple(record if file.name == path.name else file for file in manifest.files)
        write_manifest(target, dataclasses.replace(manifest, digest="", shards=shards, files=files))
    _read_set(target, draw)


def _state(sound: Path, folder: Path, draw: random.Random) -> None:
    """What a run left to be resumed from."""
    target = _copied_set(sound, folder, draw)
    state = target / ".state"
    path = draw.choice([path for path in sorted(state.rglob("*")) if path.is_file() and path.name != "lock"])
    if draw.random() < 0.2:  # as version 0.1 kept its records
        records = [each.read_bytes() for each in sorted((state / "done").iterdir())]
        shutil.rmtree(state / "done")
        path = state / "journal-000000-000009.jsonl"
        path.write_bytes(b"".join(record.strip() + b"\n" for record in records))
    if path.suffix == ".jsonl" or draw.random() < 0.3:
        lines = path.read_bytes().splitlines(keepends=True)
        at = draw.randrange(len(lines))
        hurt = (
            damage_json(lines[at], draw) if path.suffix == ".jsonl" and draw.random() < 0.5 else damage(lines[at], draw)
        )
        lines[at] = hurt.replace(b"\n", b"") + b"\n"
        path.write_bytes(b"".join(lines))
    else:
        path.write_bytes(damage_json(path.read_bytes(), draw))
    if draw.random() < 0.5:
        (target / "manifest.json").unlink()
    _quietly(lambda: alexnet_pipeline.merge(folder))
    alexnet_pipeline.reindex(folder, progress=False)


def _copied_set(sound: Path, folder: Path, draw: random.Random) -> Path:
    method = draw.choice(("nearest", "lanczos"))
    return Path(shutil.copytree(sound / "sets" / method / "val", folder / "sets" / method / "val"))


def _read_set(target: Path, draw: random.Random) -> None:
    """By one of the readers of data sets."""
    readers: list[Callable[[], object]] = [
        lambda: alexnet_pipeline.verify(target.parent, deep=True, progress=False),
        lambda: alexnet_pipeline.inspect(target),
        lambda: alexnet_pipeline.inspect(sorted(target.glob("*.tar"))[0]),
        lambda: alexnet_pipeline.reindex(target, progress=False),
        lambda: _read_all(target),
    ]
    draw.choice(readers)()


def _read_all(target: Path) -> None:
    shards = alexnet_pipeline.open_shards(target)
    shards.mean_image()
    list(shards.keys())
    shards.read_batch(np.arange(len(shards)))
    for position in range(len(shards)):
        shards.read_record(position)


def _run(sound: Path, folder: Path, draw: random.Random) -> None:
    """A folder of a run, and its report."""
    shutil.copytree(sound / "run", folder / "run")
    paths = sorted(path for path in (folder / "run").rglob("*") if path.is_file() and path.stat().st_size)
    path = draw.choice(paths)
    data = path.read_bytes()
    if path.suffix == ".json":
        path.write_bytes(_sealed(damage_json(data, draw), b"format_version"))
    elif path.suffix == ".jsonl":
        lines = data.splitlines()
        line = damage_json(draw.choice(lines), draw).replace(b"\n", b"")
        path.write_bytes(data + line + b"\n" + damage(data, draw))
    elif path.suffix == ".safetensors":
        path.write_bytes(damage(data[:4096], draw) + data[4096:] if draw.random() < 0.7 else damage(data, draw))
        state = path.parent / "state.json"
        record = json.loads(state.read_bytes())
        record[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
        state.write_bytes(_sealed((json.dumps(record, sort_keys=True, indent=1) + "\n").encode(), b"digest"))
    else:
        path.write_bytes(damage(data, draw))
    alexnet_pipeline.report(folder / "run", folder / "report.html", progress=False)


def _toml(sound: Path, folder: Path, draw: random.Random) -> None:
    from click.testing import CliRunner

    from alexnet_pipeline.cli.main import cli

    text = (
        b'[shard]\nworkers = 2\nmethod = ["lanczos", "nearest"]\nsize = 64\nrestart = false\n[bench.load]\nimages = 7\n'
    )
    path = folder / "c.toml"
    path.write_bytes(draw.choice((damage(text, draw), text + b"x = " + b"[" * 50_000, text + b"x = " + b"9" * 5000)))
    done = CliRunner().invoke(cli, ["--config", str(path), "methods"])
    if done.exit_code not in {0, 1, 2} or (done.exception and not isinstance(done.exception, SystemExit)):
        raise AssertionError(f"exit code {done.exit_code}, {done.exception!r}") from done.exception


def _stranger_tar(sound: Path, folder: Path, draw: random.Random) -> None:
    """`inspect` of any tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=draw.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
        for name, data in (
            ("k" * 120 + ".cls", b"0001"),
            ("k" * 120 + ".jpg", (sound / "images" / "a.jpg").read_bytes()),
            ("k" * 120 + ".json", b'{"name": "x"}'),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (folder / "a.tar").write_bytes(damage(buffer.getvalue(), draw))
    alexnet_pipeline.inspect(folder / "a.tar")


def _quietly(read: Callable[[], object]) -> None:
    with contextlib.suppress(PipelineError):
        read()


SURFACES = (
    Surface("image bytes", 30, _image),
    Surface("original tars", 10, _source_tar),
    Surface("zip", 8, _zip),
    Surface("devkit", 2, _devkit),
    Surface("table of labels", 8, _labels),
    Surface("manifest", 16, _manifest),
    Surface("shards and indexes", 16, _shard_files),
    Surface("plan and records", 10, _state),
    Surface("run folder", 10, _run),
    Surface("TOML", 5, _toml),
    Surface("tar of a stranger", 10, _stranger_tar),
)

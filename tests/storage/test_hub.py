"""Data sets on the Hugging Face Hub are sources like any other; the token goes to the Hub alone."""

import errno
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.raw.read import Reader
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.storage import hub as product
from alexnet_pipeline.storage import reading, writing
from alexnet_pipeline.storage.hub import _wait_s
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import MissingBucketError
from tests.raw import layouts
from tests.storage.hub import SIGNATURE, TOKEN, Hub
from tests.storage.server import files

SET = RemotePath("hf://datasets/owner/name")
HOW = {"methods": ["bilinear"], "size": 32, "shard_size": 16, "workers": 2, "progress": False}
DATA = random.Random(1).randbytes(10_000_000)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of Parquet files."""
    return layouts.parquet(tmp_path_factory.mktemp("parquet") / "name", layouts.pictures())


def repository(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_another_process(code: str) -> str:
    """What another process prints, which knows nothing of what this one has asked."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.parametrize(
    ("url", "root", "key"),
    [
        ("hf://datasets/owner/name", "hf://datasets/owner/name", ""),
        ("hf:/datasets/owner/name/data/", "hf://datasets/owner/name", "data"),  # as `Path` leaves it
        ("hf://datasets/owner/name@v1.0/data/a b", "hf://datasets/owner/name@v1.0", "data/a b"),
        ("hf://datasets/o/n@refs/convert/parquet/a", "hf://datasets/o/n@refs/convert/parquet", "a"),
        ("hf://datasets/o/n@a%2Fb/c", "hf://datasets/o/n@a%2Fb", "c"),
    ],
)
def test_urls_are_taken_apart(url: str, root: str, key: str) -> None:
    place = RemotePath.of_url(url)
    assert (place.root, place.key) == (root, key)
    assert RemotePath.of_url(str(place)) == place
    assert RemotePath(root).name in {"name", "n"}


@pytest.mark.parametrize(
    "url", ["hf://owner/name", "hf://models/owner/name", "hf://spaces/owner/name/a", "hf://datasets/name", "hf://"]
)
def test_what_is_no_data_set_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match=r"names no data set; expected hf://datasets/OWNER/NAME\[@REVISION\]"):
        locate(url)


def test_parquet_gives_the_shards_of_the_disk(hub: Hub, on_disk: Path, tmp_path: Path, capfd) -> None:
    """Byte for byte, also at a revision; the token is given to the Hub only, and told to nobody."""
    hub.gated = True
    shard(on_disk, tmp_path / "near", **HOW)
    hub.commit({"README.md": b"another"})
    hub.commit(repository(on_disk), "refs/pr/1")
    shard("hf://datasets/owner/name@refs/pr/1", tmp_path / "far", **HOW)
    assert files(tmp_path / "far") == files(tmp_path / "near")
    assert set(hub.tokens) == {("hub", TOKEN)}
    assert sum(server == "store" for server, _, _ in hub.seen) > 5
    told = "".join(path.read_text("utf-8", "replace") for path in (tmp_path / "far").rglob("*") if path.is_file())
    for text in (told, *capfd.readouterr()):
        assert TOKEN not in text and SIGNATURE not in text


def test_files_are_read_in_ranges(hub: Hub) -> None:
    """Large ones, from where the Hub sends to, and small ones, from the Hub."""
    hub.commit({"a/large.bin": DATA, "a/small.txt": b"small", "a/b/c.txt": b"", "README.md": b"1"})
    large = SET / "a/large.bin"
    assert dict((SET / "a").walk()) == {
        name: reading.status_of(SET / "a" / name) for name in ("b/c.txt", "large.bin", "small.txt")
    }
    assert [name for name, _ in SET.walk()] == ["README.md", "a/b/c.txt", "a/large.bin", "a/small.txt"]
    assert reading.names_in(SET) == (("a",), ("README.md",))
    assert reading.names_in(SET / "a") == (("b",), ("large.bin", "small.txt"))
    assert reading.names_in(SET / "none") == ((), ())
    assert list((SET / "none").walk()) == []
    assert large.read(1000, 10) == (DATA[1000:1010], large.status())
    assert large.read(len(DATA) - 5, 10)[0] == DATA[-5:]
    assert large.read(len(DATA), 10)[0] == b""
    assert b"".join(reading.blocks_of(large)) == DATA
    assert reading.read_whole(SET / "a/small.txt") == b"small"
    assert (SET / "a/small.txt").read(1, 3)[0] == b"mal"
    assert reading.read_whole(SET / "a/b/c.txt") == b""
    assert (reading.exists(SET / "none"), reading.exists(large)) == (False, True)
    with pytest.raises(OSError, match="expected at most 2") as found:
        reading.read_whole(SET / "a/small.txt", 2)
    assert found.value.errno == errno.EFBIG


def test_ranges_cost_one_request_each(hub: Hub) -> None:
    """From many threads, too; an address that is no longer valid is asked for again."""
    hub.commit({"large.bin": DATA})
    large = SET / "large.bin"
    assert large.status().size_bytes == len(DATA)
    asked = len(hub.seen)
    with ThreadPoolExecutor(24) as pool:
        ranges = list(pool.map(lambda number: large.read(number * 1000, 1000)[0], range(200)))
    assert b"".join(ranges) == DATA[:200_000]
    assert {server for server, _, _ in hub.seen[asked:]} == {"store"}
    assert len(hub.seen) == asked + 200
    hub.expire()
    assert large.read(5, 10)[0] == DATA[5:15]
    assert [server for server, _, _ in hub.seen[asked + 200 :]] == ["store", "hub", "store"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(hub: Hub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever it is asked."""
    monkeypatch.setattr(product, "_wait_s", lambda headers, tries: 0.01)
    hub.commit({"a/large.bin": DATA[:1000]})
    hub.busy_status, hub.busy = status, 2
    assert reading.status_of(SET / "a/large.bin").size_bytes == 1000
    hub.busy = 2
    assert reading.read_whole(SET / "a/large.bin") == DATA[:1000]
    hub.busy = 1
    assert reading.names_in(SET) == (("a",), ())
    hub.busy = 1
    assert [name for name, _ in SET.walk()] == ["a/large.bin"]


def test_waits_are_what_the_hub_says() -> None:
    """From its own header, the usual one, or growing."""
    assert _wait_s({"RateLimit": '"resolvers";r=0;t=123', "Retry-After": "7"}, 1) == 124
    assert _wait_s({"Retry-After": "7"}, 1) == 8
    assert [_wait_s({}, tries) for tries in (0, 1, 5, 20)] == [1, 2, 32, 310]


def test_all_reads_are_of_one_commit(hub: Hub) -> None:
    """A branch that moves changes nothing in this process; another one sees the new state, and tells them apart."""
    hub.commit({"a.bin": DATA[:1000], "b.bin": b"same"})
    before = (SET / "a.bin").status()
    hub.commit({"a.bin": DATA[1000:2000], "b.bin": b"same"})
    assert (SET / "a.bin").read(0, 10) == (DATA[:10], before)
    ask = "from alexnet_pipeline.storage.remote import RemotePath; print(*RemotePath('{}', '{}').status())"
    assert in_another_process(ask.format(SET, "a.bin")) != " ".join(map(str, before))
    assert in_another_process(ask.format(SET, "b.bin")) == " ".join(map(str, (SET / "b.bin").status()))


def test_a_branch_that_moves_ends_the_run(hub: Hub, on_disk: Path) -> None:
    """Between the listing of one process and the reading of another one; old and new images are never mixed."""
    before = repository(on_disk)
    hub.commit(before)
    listing = open_source(SET).read().listings[0]
    images = [listing.image(position) for position in range(len(listing))]
    with Reader(images[:1]) as reader:
        assert reader.read(0)
    changed = next(name for name in before if f"/{name}" in images[0].path)
    hub.commit(before | {changed: before[changed] + b"\0"})
    product._known.cache_clear()  # as in a process that begins
    with Reader(images[:1]) as reader, pytest.raises(PipelineError, match="changed after the source was listed"):
        reader.read(0)


def test_it_cannot_be_written_to(hub: Hub, raw_folders: Path) -> None:
    with pytest.raises(RefusedError, match="can only be read"):
        shard(raw_folders, f"{SET}/out", **HOW)
    for write in (lambda: writing.create(SET / "a", b"1"), lambda: writing.delete(SET / "a")):
        with pytest.raises(PipelineError, match="can only be read"):
            write()
    assert hub.seen == []


def test_what_is_missing_is_named(hub: Hub) -> None:
    hub.commit({"a": b"1"})
    with pytest.raises(FileNotFoundError, match="no such file in the data set"):
        (SET / "none").status()
    for root, words in (
        ("owner/none", "no such data set"),
        ("o/a--b..c", "no such data set"),
        ("owner/name@v9", "'v9'"),
    ):
        with pytest.raises(MissingBucketError, match=words):
            RemotePath(f"hf://datasets/{root}", "a").exists()


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("owner/none", {}, "cannot list hf://datasets/owner/none: no such data set, or one that is private"),
        ("owner/name@v9", {}, "the data set has no revision 'v9'"),
        ("owner/name/none", {}, "no objects with this prefix"),
        ("owner/name", {"HF_TOKEN": None}, "/datasets/owner/name, and set HF_TOKEN"),
        ("owner/name", {"HF_TOKEN": "hf_another"}, "the Hub does not know the token; check HF_TOKEN"),
        ("owner/name", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ("owner/name", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "the Hub cannot be reached: "),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    hub: Hub, on_disk: Path, tmp_path: Path, place: str, changes: dict[str, str | None], words: str
) -> None:
    """A gated data set says where its terms are."""
    hub.gated = True
    hub.commit(repository(on_disk))
    environment = {name: value for name, value in (dict(os.environ) | changes).items() if value is not None}
    environment["HF_HOME"] = str(tmp_path)  # where another token might be
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", f"hf://datasets/{place}", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == (2 if "no objects" in words else 1) and done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert "hf_" not in done.stderr


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RefusedError, match=r"pip install 'alexnet-pipeline\[cloud\]'"):
        (SET / "a").status()

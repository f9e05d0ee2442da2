"""Layouts, labels and keys: the same pictures give the same listing wherever they lie."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.devkit import Challenge, read_devkit
from alexnet_pipeline.raw.listing import key_of
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.read import read_image
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.synthetic.sample import CLASSES


def triples(listing) -> list[tuple[str, int, str, bytes]]:
    images = map(listing.image, range(len(listing)))
    return sorted((image.key, image.label, image.name, read_image(image)) for image in images)


def names(listing) -> list[str]:
    return [listing.name(position) for position in range(len(listing))]


def listings(path: Path, *splits: str, **options):
    """The listings of a source."""
    return open_source(path, options=SourceOptions(**options), splits=splits).read(splits).listings


def test_folders_and_tars_are_the_same(raw_folders, raw_tars) -> None:
    """Keys, labels, names and bytes of both splits."""
    folders, tars = open_source(raw_folders), open_source(raw_tars)
    assert folders.classes == tars.classes == tuple(sorted(wnid for wnid, _ in CLASSES))
    for ours, theirs in zip(folders.read().listings, tars.read().listings, strict=True):
        assert ours.split == theirs.split
        assert triples(ours) == triples(theirs)


def test_devkit_order(raw_tars, raw_folders) -> None:
    """ILSVRC2012_ID - 1, which runs against the sorted order in the sample."""
    source = open_source(raw_tars, "devkit")
    assert source.classes == tuple(sorted((wnid for wnid, _ in CLASSES), reverse=True))
    assert {image.wnid for image in map(source.read().listings[0].image, range(60))} == set(source.classes)
    with pytest.raises(RefusedError, match="needs ILSVRC2012_devkit"):
        open_source(raw_folders, "devkit")


def test_a_damaged_devkit_is_refused(tmp_path, raw_tars) -> None:
    """In one line that names the file."""
    whole = (raw_tars / "ILSVRC2012_devkit_t12.tar.gz").read_bytes()
    path = tmp_path / "devkit.tar.gz"
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:length])
        with pytest.raises(RefusedError, match=r"devkit\.tar\.gz"):
            read_devkit(path, Challenge(2012))


def test_validation_needs_labels(tmp_path, raw_tars) -> None:
    """A val tar without devkit refuses val, not train."""
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        (tmp_path / name).symlink_to(raw_tars / name)
    assert len(listings(tmp_path, "train")[0]) == 60
    with pytest.raises(RefusedError, match="labels"):
        listings(tmp_path)


@pytest.mark.parametrize("layout", ["nothing", "file", "empty", "flat"])
def test_no_source_is_refused(tmp_path, layout) -> None:
    """What was found and what was expected."""
    path = tmp_path / "source"
    if layout == "file":
        path.write_bytes(b"x")
    elif layout != "nothing":
        path.mkdir()
    if layout == "flat":
        (path / "a.jpg").write_bytes(b"x")
    with pytest.raises(RefusedError, match="source"):
        listings(path)


def test_keys_are_safe_and_unique(tmp_path) -> None:
    """Hostile names keep apart, and their own name stays in the record."""
    folder = tmp_path / "cat"
    folder.mkdir()
    names = [
        "a.jpg",
        "a.png",
        "a b.jpg",
        "a.b.jpg",
        "ä.jpg",
        "ö.jpg",
        "x" * 200 + ".jpg",
        "cat_a.jpg",
        "..jpg.jpg",
    ]
    for name in names:
        (folder / name).write_bytes(b"x")
    (folder / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"x")
    (folder / "<script>alert(1)<").write_bytes(b"x")
    listing = listings(tmp_path)[0]
    assert len(listing) == len(set(listing.keys)) == 10  # the name that begins with a dot is hidden
    for key in listing.keys:
        assert key.isascii()
        assert len(key) <= 90
        assert not set(key) & set(" ./<>")


def test_the_class_leads_the_key_once() -> None:
    """ImageNet's names have it already."""
    assert key_of("n01440764", "n01440764_10026.JPEG") == "n01440764_10026"
    assert key_of("n01440764", "ILSVRC2012_val_00000293.JPEG") == "ILSVRC2012_val_00000293"
    assert key_of("cat", "0001.jpg") == "cat_0001"


def test_an_unsafe_name_gets_a_digest_whatever_lies_beside_it() -> None:
    """Or its key would change when another file comes or goes."""
    assert key_of("cat", "a b.jpg").startswith("cat_a_b-")
    assert key_of("cat", "a b.jpg") != key_of("cat", "a.b.jpg") != "cat_a_b"


def test_odd_entries_are_accounted_for(tmp_path) -> None:
    """Pipes, nested images and dangling links are rejected by name; clutter and annotations are counted."""
    (tmp_path / "cat" / "inner").mkdir(parents=True)
    for name in (
        "a.jpg",
        "b.jpg",
        "c.jpg",
        ".DS_Store",
        "._a.jpg",
        ".b.jpg",
        "a.xml",
        "inner/a.jpg",
        "inner/b.jpg",
        "inner/Thumbs.db",
    ):
        (tmp_path / "cat" / name).write_bytes(b"x")
    (tmp_path / "cat" / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "beside.jpg").write_bytes(b"x")
    (tmp_path / "README").write_bytes(b"x")
    contents = open_source(tmp_path).read()
    (listing,) = contents.listings
    assert names(listing) == ["cat/a.jpg", "cat/b.jpg", "cat/c.jpg"]
    assert {(r.name, r.reason) for r in listing.rejects} == {
        ("cat/inner/a.jpg", "nested"),
        ("cat/inner/b.jpg", "nested"),
        ("cat/pipe.jpg", "special_member"),
        ("cat/dangling.jpg", "unreadable"),
        ("beside.jpg", "no_label"),
    }
    assert {(each.what, each.files) for each in contents.account.ignored} == {
        (".DS_Store", 1),
        ("._*", 1),
        ("hidden files", 1),
        (".xml", 1),
        ("Thumbs.db", 1),
        ("README", 1),
    }


def nested(path: Path, members: list[tuple[str, bytes, bytes]]) -> None:
    """A train tar of one class whose inner members are (name, type, data)."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        for name, kind, data in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, "x", len(data)
            archive.addfile(entry, io.BytesIO(data))
    with tarfile.open(path / "ILSVRC2012_img_train.tar", "w") as archive:
        entry = tarfile.TarInfo("n90000001.tar")
        entry.size = len(inner.getvalue())
        archive.addfile(entry, io.BytesIO(inner.getvalue()))


def test_hostile_tars_are_listed_not_followed(tmp_path) -> None:
    """Each member exactly once, as a picture or by a named reason."""
    regular = tarfile.REGTYPE
    nested(
        tmp_path,
        [
            ("n90000001_1.JPEG", regular, b"a"),
            ("n90000001_1.JPEG", regular, b"b"),
            ("../../etc/cron.d/x", regular, b"c"),
            ("/etc/passwd", regular, b"d"),
            ("link.JPEG", tarfile.SYMTYPE, b""),
            ("device.JPEG", tarfile.CHRTYPE, b""),
        ],
    )
    listing = listings(tmp_path)[0]
    assert names(listing) == ["n90000001/n90000001_1.JPEG"]
    assert sorted(r.reason for r in listing.rejects) == [
        "duplicate_key",
        "link_member",
        "special_member",
        "unsafe_name",
        "unsafe_name",
    ]


def test_a_cut_tar_keeps_what_is_whole(tmp_path, raw_tars) -> None:
    """Pictures before the damage are kept, and the damage is named; labels of a cut val tar stay right."""
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        data = (raw_tars / name).read_bytes()
        (tmp_path / name).write_bytes(data if "devkit" in name else data[: len(data) * 2 // 3])
    whole = {image[0]: image for listing in listings(raw_tars) for image in triples(listing)}
    for listing in listings(tmp_path):
        assert 0 < len(listing) < (60 if listing.split == "train" else 20)
        assert [r.reason for r in listing.rejects] == ["truncated_archive"] * len(listing.rejects)
        assert listing.rejects
        for image in triples(listing):
            assert whole[image[0]] == image


@pytest.mark.parametrize("at", range(0, 3000, 190))
def test_a_damaged_devkit_never_crashes(tmp_path, raw_tars, at) -> None:
    """SciPy dies of some damaged .mat files, so it reads them in a process of its own."""
    meta = tmp_path / "kit" / "data" / "meta.mat"
    meta.parent.mkdir(parents=True)
    with tarfile.open(raw_tars / "ILSVRC2012_devkit_t12.tar.gz") as archive:
        for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"):
            member = next(each for each in archive if each.name.endswith(name))
            (meta.parent / name).write_bytes(archive.extractfile(member).read())
    data = bytearray(meta.read_bytes())
    data[at % len(data)] ^= 0xA5
    meta.write_bytes(bytes(data))
    try:
        devkit = read_devkit(tmp_path / "kit", Challenge(2012))
    except RefusedError as error:
        assert "kit" in str(error)
    else:
        assert len(devkit.wnids) == 10


def test_a_crash_of_scipy_is_a_refusal(tmp_path, monkeypatch) -> None:
    """With the exit code of its process."""
    import alexnet_pipeline.raw.devkit as module

    (tmp_path / "data").mkdir()
    (tmp_path / "data/meta.mat").write_bytes(b"x")
    (tmp_path / "data/ILSVRC2012_validation_ground_truth.txt").write_bytes(b"1\n")
    monkeypatch.setattr(module, "_READER", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(RefusedError, match="exit code -11"):
        read_devkit(tmp_path, Challenge(2012))

"""The embedded sample: the same bytes for the same seed, like ImageNet in its sizes, and its oddities."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.codec import decode
from alexnet_pipeline.synthetic.patterns import PATTERNS, render
from alexnet_pipeline.synthetic.sample import BROKEN_INDEX, CLASSES, PNG_INDEX, TURNED_INDEX, sample


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def path_of(folder: Path, index: int) -> Path:
    wnid = CLASSES[index % 10][0]
    return folder / "train" / wnid / f"{wnid}_{index}.JPEG"


@pytest.mark.parametrize("layout", ["folders", "ilsvrc"])
def test_same_seed_same_bytes(tmp_path, layout) -> None:
    """Another seed, other bytes."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        sample(tmp_path / name, train_images=20, val_images=10, seed=seed, layout=layout)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    same = hashes(tmp_path / "a").items() & hashes(tmp_path / "c").items()
    assert all("devkit" in name for name, _ in same)


def test_pictures_do_not_depend_on_their_number(raw_folders, tmp_path) -> None:
    """Picture i of a small set is picture i of a large one."""
    sample(tmp_path / "small", train_images=20, val_images=10)
    assert hashes(tmp_path / "small").items() <= hashes(raw_folders).items()


def test_oddities_are_there_once(raw_folders) -> None:
    """A PNG, one on its side, a broken one; all others are whole JPEGs."""
    kinds = {"png": [], "broken": [], "jpeg": []}
    for path in (raw_folders / "train").glob("*/*"):
        data = path.read_bytes()
        if data.startswith(b"\x89PNG"):
            kinds["png"].append(path)
            continue
        try:
            simplejpeg.decode_jpeg(data)
            kinds["jpeg"].append(path)
        except ValueError:
            kinds["broken"].append(path)
    assert kinds["png"] == [path_of(raw_folders, PNG_INDEX)]
    assert kinds["broken"] == [path_of(raw_folders, BROKEN_INDEX)]
    assert len(kinds["jpeg"]) == 58


def test_the_turned_one_comes_out_upright(raw_folders) -> None:
    """Stored on its side, upright once EXIF is applied."""
    data = path_of(raw_folders, TURNED_INDEX).read_bytes()
    drawn = render(TURNED_INDEX % 10, TURNED_INDEX, "train", 0)
    assert simplejpeg.decode_jpeg(data).shape[:2] == drawn.shape[1::-1]
    assert np.abs(decode(data).astype(int) - drawn).mean() < 8


def test_classes_are_the_patterns_and_balanced(raw_folders) -> None:
    """Ten of each, in the patterns' order."""
    assert [name for _, name in CLASSES] == [name for name, _ in PATTERNS]
    assert [len(list((raw_folders / "train" / wnid).iterdir())) for wnid, _ in CLASSES] == [6] * 10


def test_sizes_are_like_imagenets() -> None:
    """Short sides of 190 to 600, about a tenth below 256, various aspects, some greyscale."""
    shapes = [render(i % 10, i, "train", 3).shape for i in range(200)]
    short = np.array([min(shape[:2]) for shape in shapes])
    assert short.min() >= 190
    assert short.max() <= 600
    assert 0.04 < (short < 256).mean() < 0.18
    assert len({shape[0] * 100 // shape[1] for shape in shapes}) >= 4
    assert 0 < sum(shape[2] == 1 for shape in shapes) < 20


def test_a_full_folder_is_refused(tmp_path) -> None:
    """Nothing is overwritten."""
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RefusedError, match="not an empty folder"):
        sample(tmp_path)

"""Write pictures as the ImageNet challenges were handed out: ILSVRC2012, ILSVRC2010, Kaggle and Tiny ImageNet."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tests.raw.layouts_pictures import (
    Member,
    Picture,
    banner,
    of_split,
    put,
    put_all,
    put_classes,
    put_flat,
    size_px,
    stem,
    tar_gz_of,
    tar_of,
    tar_of_class,
    unsorted,
    wnids_of,
    words,
    zip_of,
)

# MAT 5 files begin with 116 bytes of text, in which SciPy writes the date.
MAT_TEXT = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Mon Apr 16 18:18:32 2012".ljust(116)
# The devkit's synsets above the classes; all are WordNet's.
ROOT, INNER = ("n00001740", "entity"), (("n00015388", "animal"), ("n00021939", "artifact"))
DEVKIT_TOP = {2010: "devkit-1.0", 2012: "ILSVRC2012_devkit_t12"}
DEVKIT_TAR = {2010: "ILSVRC2010_devkit-1.0.tar.gz", 2012: "ILSVRC2012_devkit_t12.tar.gz"}
KAGGLE_ZIP = "imagenet-object-localization-challenge.zip"
# A synset of words.txt that has no pictures.
UNUSED = ("n00001740", "entity")


def put_devkit(root: Path, pictures: Sequence[Picture], year: int = 2012, extracted: bool = False) -> None:
    """Write the devkit into a folder, as its archive or extracted; its IDs are not in the order of the wnids."""
    if extracted:
        put_all(root, _devkit(pictures, year))
    else:
        put(root / DEVKIT_TAR[year], tar_gz_of(_devkit(pictures, year)))


def _devkit(pictures: Sequence[Picture], year: int) -> list[Member]:
    top = DEVKIT_TOP[year]
    return [
        (top, None),
        (f"{top}/readme.txt", b"ImageNet Large Scale Visual Recognition Challenge: development kit\n"),
        (f"{top}/data", None),
        (f"{top}/data/ILSVRC{year}_validation_ground_truth.txt", _truth(pictures, "val")),
        (f"{top}/data/meta.mat", _meta(pictures, year)),
        (f"{top}/evaluation", None),
        (f"{top}/evaluation/demo_eval.m", b"pred_file = 'demo.val.pred.txt';\n"),
    ]


def _ids(pictures: Sequence[Picture]) -> dict[str, int]:
    return {wnid: number for number, wnid in enumerate(unsorted(wnids_of(pictures)), 1)}


def _truth(pictures: Sequence[Picture], split: str) -> bytes:
    ids, chosen = _ids(pictures), sorted(of_split(pictures, split), key=lambda picture: picture.file)
    return "".join(f"{ids[picture.wnid]}\n" for picture in chosen).encode()


def _meta(pictures: Sequence[Picture], year: int) -> bytes:
    """`meta.mat`: a struct array of the classes and then three synsets above them; in 2010 also the costs."""
    import numpy as np
    from scipy.io import savemat

    ids, train = _ids(pictures), [picture.wnid for picture in of_split(pictures, "train")]
    names = ("WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images")
    rows: list[tuple[object, ...]] = []
    for wnid, number in ids.items():
        gloss = f"a thing called {words(wnid)}"
        rows.append((float(number), wnid, words(wnid), gloss, 0.0, np.zeros((1, 0)), 0.0, float(train.count(wnid))))
    count, half = len(ids), len(ids) // 2
    above = ((*INNER[0], range(1, half + 1)), (*INNER[1], range(half + 1, count + 1)), (*ROOT, (count + 1, count + 2)))
    for number, (wnid, text, below) in enumerate(above, count + 1):
        children = np.array([list(below)], float)
        rows.append((float(number), wnid, text, text, float(len(below)), children, 1.0 + (wnid == ROOT[0]), 0.0))
    synsets = np.zeros((len(rows), 1), dtype=[(name, object) for name in (f"ILSVRC{year}_ID", *names)])
    for place, row in enumerate(rows):
        synsets[place, 0] = row
    buffer = io.BytesIO()
    costs = {"cost_matrix": np.ones((count, count), np.uint8) - np.eye(count, dtype=np.uint8)}
    savemat(buffer, {"synsets": synsets} | (costs if year == 2010 else {}), do_compression=True)
    return MAT_TEXT + buffer.getvalue()[len(MAT_TEXT) :]


def put_train_tar(root: Path, pictures: Sequence[Picture], name: str) -> None:
    """Write a train archive, which holds one archive for each class."""
    train = of_split(pictures, "train")
    put(root / name, tar_of((f"{wnid}.tar", tar_of_class(train, wnid)) for wnid in wnids_of(train)))


def put_val_tar(root: Path, pictures: Sequence[Picture]) -> None:
    """Write ILSVRC2012's val archive, which is flat."""
    put(root / "ILSVRC2012_img_val.tar", tar_of((p.file, p.data) for p in of_split(pictures, "val")))


def ilsvrc2012(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the three original files of ILSVRC2012."""
    put_train_tar(root, pictures, "ILSVRC2012_img_train.tar")
    put_val_tar(root, pictures)
    put_devkit(root, pictures)
    return root


def ilsvrc2012_mixed(root: Path, pictures: Sequence[Picture], extracted: Literal["train", "val"] = "train") -> Path:
    """Write an extracted `train/` beside the val archive, or the train archive beside an extracted, flat `val/`.

    The devkit's archive lies beside them.
    """
    if extracted == "train":
        put_classes(root / "train", of_split(pictures, "train"))
        put_val_tar(root, pictures)
    else:
        put_train_tar(root, pictures, "ILSVRC2012_img_train.tar")
        put_flat(root / "val", of_split(pictures, "val"))
    put_devkit(root, pictures)
    return root


def ilsvrc2010(root: Path, pictures: Sequence[Picture], gzipped: bool = False, extracted: bool = False) -> Path:
    """Write the files of ILSVRC2010; the pictures must be those of 2010, and all have a class.

    The first train and the first val picture are wrong in their archives and right in `patch_images.tar`. With
    `gzipped`, the last train picture is compressed with gzip. With `extracted`, the devkit is a folder.
    """
    assert all(picture.wnid for picture in pictures), "take pictures(year=2010): its test labels are known"
    patched = [of_split(pictures, "train")[0], of_split(pictures, "val")[0]]
    last = of_split(pictures, "train")[-1]
    written = []
    for picture in pictures:
        data = banner() if picture in patched else picture.data
        data = gzip.compress(data, mtime=0) if gzipped and picture == last else data
        written.append(Picture(picture.split, picture.wnid, picture.file, data))
    put_train_tar(root, written, "ILSVRC2010_images_train.tar")
    for split in ("val", "test"):
        members: list[Member] = [(split, None)]
        members += [(f"{split}/{picture.file}", picture.data) for picture in of_split(written, split)]
        put(root / f"ILSVRC2010_images_{split}.tar", tar_of(members))
    patch: list[Member] = [("patch_images", None)]
    for picture in patched:
        patch.append((f"patch_images/{picture.split}", None))
        patch.append((f"patch_images/{picture.split}/{picture.file}", picture.data))
    put(root / "patch_images.tar", tar_of(patch))
    put(root / "ILSVRC2010_test_ground_truth.txt", _truth(pictures, "test"))
    put_devkit(root, pictures, 2010, extracted)
    return root


def kaggle_folder(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write Kaggle's files, unpacked."""
    put_all(root, _kaggle(pictures))
    return root


def kaggle_zip(root: Path, pictures: Sequence[Picture], deflated: bool = False) -> Path:
    """Write Kaggle's zip."""
    put(root / KAGGLE_ZIP, zip_of(_kaggle(pictures), deflated))
    return root / KAGGLE_ZIP


def kaggle_zip_of_tar_gz(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write Kaggle's zip of 2019, where the pictures are in a `.tar.gz` inside (to be refused)."""
    tables = [member for member in _kaggle(pictures) if member[0].startswith("LOC_")]
    tree = [member for member in _kaggle(pictures) if member[0].startswith("ILSVRC/")]
    inner = ("imagenet_object_localization_patched2019.tar.gz", tar_gz_of(tree))
    put(root / KAGGLE_ZIP, zip_of([*tables, inner], deflated=False))
    return root / KAGGLE_ZIP


def _kaggle(pictures: Sequence[Picture]) -> list[Member]:
    """Kaggle's files, sorted by name; only every second train picture has boxes, as most of ImageNet's have none."""
    train, val, test = (of_split(pictures, split) for split in ("train", "val", "test"))
    boxed = train[::2]
    files: dict[str, str | bytes] = {
        "LOC_synset_mapping.txt": "".join(f"{wnid} {words(wnid)}\n" for wnid in wnids_of(pictures)),
        "LOC_train_solution.csv": _solution(boxed),
        "LOC_val_solution.csv": _solution(val[::-1]),
        "LOC_sample_submission.csv": _solution(test),
        "ILSVRC/ImageSets/CLS-LOC/train_cls.txt": _image_set([f"{p.wnid}/{stem(p)}" for p in train]),
        "ILSVRC/ImageSets/CLS-LOC/train_loc.txt": _image_set([f"{p.wnid}/{stem(p)}" for p in boxed]),
        "ILSVRC/ImageSets/CLS-LOC/val.txt": _image_set([stem(p) for p in val]),
        "ILSVRC/ImageSets/CLS-LOC/test.txt": _image_set([stem(p) for p in test]),
    }
    for picture in (*train, *val, *test):
        place = f"train/{picture.wnid}" if picture.split == "train" else picture.split
        files[f"ILSVRC/Data/CLS-LOC/{place}/{picture.file}"] = picture.data
        if picture in boxed or picture.split == "val":
            files[f"ILSVRC/Annotations/CLS-LOC/{place}/{stem(picture)}.xml"] = _annotation(picture)
    return [(name, data.encode() if isinstance(data, str) else data) for name, data in sorted(files.items())]


def _solution(pictures: Sequence[Picture]) -> str:
    """A CSV of (picture, boxes): wnid and four numbers a box, with a space at the end; every third has two boxes."""
    lines = ["ImageId,PredictionString\n"]
    for place, picture in enumerate(pictures):
        boxes = f"{picture.wnid or 'n01440764'} 11 8 30 40 " * (1 + (place % 3 == 2))
        lines.append(f"{stem(picture)},{boxes}\n")
    return "".join(lines)


def _image_set(names: Sequence[str]) -> str:
    return "".join(f"{name} {number}\n" for number, name in enumerate(names, 1))


def _annotation(picture: Picture) -> str:
    height, width = size_px(picture.data)
    return (
        f"<annotation>\n\t<folder>{picture.split}</folder>\n\t<filename>{stem(picture)}</filename>\n"
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"\t<object><name>{picture.wnid}</name><bndbox><xmin>11</xmin><ymin>8</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object>\n</annotation>\n"
    )


def tiny_imagenet(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the tree of Tiny ImageNet; the pictures keep their names and sizes."""
    top = root / "tiny-imagenet-200"
    train, val, test = (of_split(pictures, split) for split in ("train", "val", "test"))
    wnids = unsorted(wnids_of(pictures))
    put(top / "wnids.txt", "".join(f"{wnid}\n" for wnid in wnids))
    put(top / "words.txt", "".join(f"{w}\t{text}\n" for w, text in sorted([UNUSED, *((w, words(w)) for w in wnids)])))
    for wnid in wnids:
        chosen = [picture for picture in train if picture.wnid == wnid]
        put_flat(top / "train" / wnid / "images", chosen)
        put(top / "train" / wnid / f"{wnid}_boxes.txt", "".join(f"{p.file}\t0\t10\t63\t54\n" for p in chosen))
    put_flat(top / "val" / "images", val)
    put(top / "val" / "val_annotations.txt", "".join(f"{p.file}\t{p.wnid}\t0\t32\t44\t62\n" for p in val))
    put_flat(top / "test" / "images", test)
    return top

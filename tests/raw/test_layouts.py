"""Every layout: the same images give the same keys, labels and bytes wherever they lie, and nothing goes uncounted."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.layouts import LAYOUTS
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.read import Reader, reading_order
from alexnet_pipeline.raw.source import open_source
from tests.raw import layouts as write

COLUMNS = SourceOptions(columns="image=img,label=fine_label")
# name: (layout that recognises it, writer, its arguments)
WRITTEN: dict[str, tuple[str, Callable[..., Path], dict[str, object]]] = {
    "class folders": ("class-folders", write.class_folders, {}),
    "valid": ("class-folders", write.class_folders_valid, {}),
    "capitals": ("class-folders", write.class_folders_capitals, {}),
    "one split": ("class-folders", write.class_folders_one, {}),
    "flat val, devkit": ("ilsvrc2012", write.flat_val_devkit, {}),
    "flat val, devkit extracted": ("ilsvrc2012", write.flat_val_devkit, {"extracted": True}),
    "tars of classes": ("wnid-tars", write.wnid_tars, {}),
    "tars of classes in train": ("ilsvrc2012", write.wnid_tars_split, {}),
    "half extracted": ("ilsvrc2012", write.half_extracted, {}),
    "ILSVRC2012": ("ilsvrc2012", write.ilsvrc2012, {}),
    "ILSVRC2012, train extracted": ("ilsvrc2012", write.ilsvrc2012_mixed, {"extracted": "train"}),
    "ILSVRC2012, val extracted": ("ilsvrc2012", write.ilsvrc2012_mixed, {"extracted": "val"}),
    "Kaggle": ("kaggle", write.kaggle_folder, {}),
    "Kaggle zip, stored": ("kaggle", write.kaggle_zip, {}),
    "Kaggle zip, deflated": ("kaggle", write.kaggle_zip, {"deflated": True}),
    "Tiny-ImageNet": ("tiny-imagenet", write.tiny_imagenet, {}),
    "Parquet": ("parquet", write.parquet, {}),
    "Parquet without class names": ("parquet", write.parquet, {"form": "nameless"}),
    "files of Hugging Face": ("hf-files", write.hf_files, {}),
    "WebDataset": ("webdataset", write.webdataset, {}),
    "WebDataset without json": ("webdataset", write.webdataset, {"with_json": False}),
    "TFRecord": ("tfrecord", write.tfrecord, {}),
    "tar": ("class-folders", write.plain_tar, {}),
    "tar of tars": ("wnid-tars", write.plain_tar, {"inner": write.wnid_tars}),
    "zip, stored": ("class-folders", write.plain_zip, {}),
    "zip, deflated": ("class-folders", write.plain_zip, {"deflated": True}),
    "ImageNet-21k": ("wnid-tars", write.imagenet21k, {}),
}
# Layouts whose images lie in containers, with the modules that write and read them.
NEEDS = {"parquet": ["pyarrow"], "tfrecord": ["google.protobuf", "google_crc32c"]}


def images_of(path: Path, splits: tuple[str, ...] = (), options: SourceOptions | None = None) -> set[tuple]:
    """(split, key, label, name, bytes) of every image of a source."""
    found = set()
    for listing in open_source(path, options=options, splits=splits).read(splits).listings:
        images = [listing.image(position) for position in range(len(listing))]
        with Reader(images) as reader:
            for position in reading_order(images):
                image = images[position]
                found.add((listing.split, image.key, image.label, image.name, reader.read(position)))
    return found


def expected(pictures, *, splits: set[str] | None = None) -> set[tuple]:
    """The same from the pictures themselves: the label is the place of the wnid among the sorted ones."""
    kept = [each for each in pictures if each.wnid and (splits is None or each.split in splits)]
    labels = {wnid: label for label, wnid in enumerate(sorted({each.wnid for each in kept}))}
    return {
        (each.split, each.file.rpartition(".")[0], labels[each.wnid], f"{each.wnid}/{each.file}", each.data)
        for each in kept
    }


@pytest.fixture(scope="module")
def pictures():
    return write.pictures()


@pytest.mark.parametrize("name", WRITTEN)
def test_every_layout_gives_the_same_images(tmp_path, pictures, name) -> None:
    """Keys, labels, names and bytes, and by the layout that was meant."""
    layout, writer, arguments = WRITTEN[name]
    for module in NEEDS.get(layout, []):
        pytest.importorskip(module)
    path = writer(tmp_path, pictures, **arguments)
    assert open_source(path).layout.name == layout
    found = images_of(path)
    wanted = expected(pictures, splits={split for split, *_ in found})
    if arguments == {"with_json": False}:  # the suffix of the original name is lost
        wanted = {(*each[:3], each[3].replace(".JPEG", ".jpg"), each[4]) for each in wanted}
    assert found == wanted
    assert "train" in {split for split, *_ in found}


def test_real_photographs_are_the_same_in_every_layout(tmp_path, data_folder) -> None:
    """At least 200 of them, from each layout that has train and val."""
    pytest.importorskip("pyarrow")
    pictures = write.real_pictures(data_folder)
    wanted = expected(pictures)
    assert len(wanted) >= 200
    for name, (_, writer, arguments) in WRITTEN.items():
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        found = images_of(writer(folder, pictures, **arguments))
        here = {each for each in wanted if each[0] in {split for split, *_ in found}}
        assert {(*each[:3], each[4]) for each in found} == {(*each[:3], each[4]) for each in here}, name


@pytest.mark.parametrize("arguments", [{}, {"gzipped": True}, {"extracted": True}])
def test_ilsvrc2010_is_read_with_its_patches_and_test_labels(tmp_path, arguments) -> None:
    """The paper's own set: corrected images by name, val and test by the truth of the devkit."""
    pictures = write.pictures(year=2010)
    path = write.ilsvrc2010(tmp_path, pictures, **arguments)
    source = open_source(path)
    assert source.layout.name == "ilsvrc2010"
    found, wanted = images_of(path), expected(pictures)
    assert {each[:4] for each in found} == {each[:4] for each in wanted}
    other = found - wanted
    assert len(other) == (1 if arguments.get("gzipped") else 0)  # gzip is undone where images are decoded
    assert all(data.startswith(b"\x1f\x8b") for *_, data in other)
    assert source.words[0] == "tench, Tinca tinca"


@pytest.mark.parametrize("form", ["csv", "csv_plain", "tsv", "txt", "json"])
def test_a_flat_folder_takes_labels_from_a_table(tmp_path, pictures, form) -> None:
    """In every form of table; without it the folder is refused."""
    folder, table = write.flat_labels(tmp_path, pictures, form=form)
    found = images_of(folder, splits=("val",), options=SourceOptions(labels=table))
    assert found == expected(pictures, splits={"val"})
    with pytest.raises(RefusedError, match="labels"):
        open_source(folder)


def test_digits_sort_as_numbers(tmp_path, pictures) -> None:
    """Class 10 comes behind class 9, not behind class 1."""
    source = open_source(write.digits(tmp_path, pictures))
    assert source.classes == tuple(str(number) for number in range(12))


def test_columns_of_parquet_can_be_named(tmp_path, pictures) -> None:
    """Two columns of labels are refused until one is named; double words do not name classes."""
    pytest.importorskip("pyarrow")
    path = write.parquet(tmp_path, pictures, form="columns")
    source = open_source(path, options=COLUMNS)
    assert source.classes == tuple(str(number) for number in range(12))
    assert source.words[0] == "tench, Tinca tinca"
    labels = {(split, data): label for split, _, label, _, data in expected(pictures)}
    assert {(s, d): label for s, _, label, _, d in images_of(path, options=COLUMNS)} == labels


def test_a_subset_keeps_its_place_among_more_classes(tmp_path, pictures) -> None:
    """Six classes of twelve, by a list in an order of its own, and by a finished data set."""
    path = write.imagenet_r(tmp_path, pictures)
    order = [*sorted(write.wnids_of(pictures), reverse=True)]
    listed = tmp_path / "classes.txt"
    listed.write_text("".join(f"{wnid} some words\n" for wnid in order))
    source = open_source(path, options=SourceOptions(classes=listed))
    assert source.classes == tuple(order)
    (listing,) = source.read().listings
    for position in range(len(listing)):
        image = listing.image(position)
        assert order[image.label] == image.wnid
    listed.write_text("\n".join(order[:3]))
    with pytest.raises(RefusedError, match=r"holds 4 classes that .*classes\.txt lacks"):
        open_source(path, options=SourceOptions(classes=listed))


@pytest.mark.parametrize("name", WRITTEN)
def test_every_file_is_accounted_for(tmp_path, pictures, name) -> None:
    """Images, rejects, used and ignored files are all files on disk and all members of what was read."""
    layout, writer, arguments = WRITTEN[name]
    for module in NEEDS.get(layout, []):
        pytest.importorskip(module)
    path = writer(tmp_path / "source", pictures, **arguments)
    contents = open_source(path).read()
    images = sum(len(listing) + len(listing.rejects) for listing in contents.listings)
    account = contents.account
    counted = images + account.used + sum(each.files for each in account.ignored)
    inside = {"parquet": 64, "webdataset": 60, "tfrecord": 64}.get(layout)  # their images, which are no files
    assert counted == (files_of(path, members=inside is None) + (inside or 0))


def files_of(path: Path, *, members: bool) -> int:
    """The files at or below a path, and the members of its archives."""
    if path.is_dir():
        files = [each for each in path.rglob("*") if not each.is_dir()]
        inner = sum(members_of(each) for each in files if each.suffix == ".tar") if members else 0
        return len(files) + inner
    return members_of(path)


def members_of(path: Path) -> int:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return sum(not info.is_dir() for info in archive.infolist())
    total = 0
    with tarfile.open(path) as archive:
        for member in archive:
            total += member.isfile()
            if member.name.endswith(".tar"):
                with tarfile.open(fileobj=archive.extractfile(member)) as inner:
                    total += sum(each.isfile() for each in inner)
    return total


@pytest.mark.parametrize("writer", [write.hf_archives, write.plain_tar_gz, write.kaggle_zip_of_tar_gz])
def test_what_has_no_random_access_is_refused_with_the_command(tmp_path, pictures, writer) -> None:
    """The exact command that unpacks it."""
    with pytest.raises(RefusedError, match=r"tar -xzf \S+\.tar\.gz"):
        open_source(writer(tmp_path, pictures))


def test_an_inner_folder_of_kaggle_finds_the_tables_in_its_parents(tmp_path, pictures) -> None:
    """CLS-LOC, and val alone."""
    root = write.kaggle_folder(tmp_path, pictures)
    assert images_of(root / "ILSVRC/Data/CLS-LOC") == expected(pictures)
    val = images_of(root / "ILSVRC/Data/CLS-LOC/val")
    assert val == expected(pictures, splits={"val"})


def test_a_finished_data_set_is_a_source(tmp_path, raw_folders) -> None:
    """Re-sharding keeps keys, labels and names."""
    from alexnet_pipeline.shards.build import shard

    shard(raw_folders, tmp_path, size=32, workers=1, progress=False)
    found = images_of(tmp_path / "antialias")
    plain = images_of(raw_folders)
    assert {each[:4] for each in found} == {
        each[:4] for each in plain if "_7.JPEG" not in each[3] or each[0] != "train"
    }


def test_a_named_layout_is_the_only_one_asked(tmp_path, pictures) -> None:
    """Tars and extracted folders of one split are refused until one is chosen."""
    write.ilsvrc2012(tmp_path, pictures)
    for each in pictures:
        if each.split == "train":
            (tmp_path / "train" / each.wnid).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / each.wnid / each.file).write_bytes(each.data)
    with pytest.raises(RefusedError, match="there twice"):
        open_source(tmp_path)
    for layout in ("ilsvrc2012", "class-folders"):
        options = SourceOptions(layout=layout)  # type: ignore[arg-type]
        found = images_of(tmp_path, splits=("train",), options=options)
        assert found == expected(pictures, splits={"train"})


def test_layouts_describe_themselves() -> None:
    """Each has a name, words and an example, and the option lists them all."""
    from typing import get_args

    from alexnet_pipeline.raw.options import LayoutName

    assert {layout.name for layout in LAYOUTS} == set(get_args(LayoutName))
    assert all(layout.looks_like and layout.tree for layout in LAYOUTS)


def test_an_output_within_the_source_is_refused_or_left_out(tmp_path, pictures) -> None:
    """And a source within the output."""
    path = write.class_folders(tmp_path, pictures)
    with pytest.raises(RefusedError, match="lies in the source"):
        open_source(path, out=path / "shards")
    (path / "shards" / "lanczos").mkdir(parents=True)
    (path / "shards" / "lanczos" / "a.jpg").write_bytes(b"x")
    options = SourceOptions(allow=("output-inside-source",))
    assert open_source(path, options=options, out=path / "shards").splits == ("train", "val")
    assert open_source(path, options=options, out=path / "shards").read().listings  # and again, when it is there
    one = write.class_folders_one(tmp_path / "one", pictures)
    (one / "out" / "x").mkdir(parents=True)
    found = open_source(one, options=options, out=one / "out").read()
    assert [len(listing) for listing in found.listings] == [36]
    with pytest.raises(RefusedError, match="lies in the output"):
        open_source(path / "train", out=path)


def tree(root: Path, *files: str) -> Path:
    """Make files below a folder; a name that ends in a slash is an empty folder, `a -> b` a link."""
    for file in files:
        name, _, target = file.partition(" -> ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        elif file.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(b"x")
    return root


SPLITS = ("train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg", "val/b/2.jpg")
# What is refused: the files, and what the message must say.
REFUSED = {
    "nothing": ([], "it holds nothing"),
    "no layout": (["notes/a.md", "x.py"], r"1 folder.*1 file"),
    "flat val": (
        ["train/a/1.jpg", "val/1.jpg", "val/2.jpg"],
        r"val/ holds images without class folders.*`split='train'`",
    ),
    "flat val and test": (["train/a/1.jpg", "val/1.jpg", "test/2.jpg"], r"test/ and val/ hold images"),
    "flat splits": (["train/1.jpg", "val/1.jpg"], "hold images without class folders"),
    "images and a table": (["images/1.jpg", "labels.csv"], "images may be parts of a data set"),
    "images alone": (["images/1.jpg"], "images may be parts of a data set"),
    "flat": (["1.jpg", "2.jpg"], "lie in one folder; name a table"),
    "nested classes": (["animals/cats/1.jpg", "animals/dogs/1.jpg"], r"animals holds only folders \(cats, dogs\)"),
    "one nested class": (["cats/1.jpg", "dogs/young/1.jpg"], r"dogs/ holds no images, only folders \(young\)"),
    "tiny without wnids.txt": (["train/n01443537/images/a.JPEG", "val/images/a.JPEG"], "holds images/, but wnids.txt"),
    "two folders of one split": ([*SPLITS, "validation/a/1.jpg"], "both the split val"),
    "an empty val": (["train/a/1.jpg", "val/"], "val/ holds no images"),
    "a folder more": ([*SPLITS, "extra/1.jpg"], "besides them images in extra"),
    "an empty class": (["a/1.jpg", "b/"], "b/ holds no images and is empty"),
    "a class of annotations": (["a/1.jpg", "b/1.xml"], r"b/ holds no images, only 1\.xml"),
    "a dangling class": (["a/1.jpg", "b -> nowhere"], "b is a link that leads nowhere"),
    "a class as folder and tar": (["n01440764/1.jpg", "n01440764.tar"], "both a folder and a tar"),
    "other classes in val": (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/c/1.jpg"], "different classes"),
    "part of Parquet": (["data/train-00000-of-00003.parquet"], r"train lacks 2 of its 3 files.*00001"),
    "part of TFRecord": (["x-train.tfrecord-00001-of-00002"], r"train lacks 1 of its 2 files.*00000"),
    "one class and a table": (["cats/1.jpg", "labels.csv"], "would be the only class"),
    "splits of other names": (["train2017/1.jpg", "val2017/2.jpg"], "train2017, val2017 may be parts of a data set"),
    "splits of ILSVRC's names": (["ILSVRC2012_img_val/1.jpg", "ILSVRC2012_img_test/2.jpg"], "may be parts"),
    "images and masks": (["images/1.jpg", "masks/1.png"], "may be parts"),
    "parts of train": (["train.X1/n01440764/1.jpg", "val.X/n01440764/1.jpg"], "may be parts"),
    "test without labels": ([*SPLITS, "test/images/3.jpg"], "test/images/ holds images without class folders"),
    "more classes in test": (["train/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg"], "only test: a"),
    "a class in an archive": (
        ["n01440764/1.jpg", "n01443537.tar.gz", "n01484850/1.jpg"],
        "n01443537.tar.gz is not unpacked",
    ),
    "a class in a zip": (["bird/1.jpg", "dog/1.jpg", "cat.zip"], "cat.zip is not unpacked"),
    "a class in a download": (["n01440764.tar", "n01443537.tar.part"], "n01443537.tar.part is not unpacked"),
    "a dangling class with a dot": (["a/1.jpg", "b.2 -> nowhere", "c/1.jpg"], r"b\.2 is a link that leads"),
    "a dangling class tar": (["n01440764/1.jpg", "n01443537.tar -> nowhere"], r"n01443537\.tar is a link that leads"),
    "a class that is a loop": (["a/1.jpg", "b -> b"], "b is a link that leads nowhere"),
    "a dangling split": (["train/a/1.jpg", "val -> nowhere"], "val is a split, but leads nowhere"),
    "a split in an archive": (["train/a/1.jpg", "val.tar.gz"], r"val\.tar\.gz is a split by its name, but is not read"),
    "numbers with a gap": (["0/1.jpg", "1/1.jpg", "3/1.jpg"], "numbers from 0 to 3, but 2 is missing"),
    "a folder among wnids": (["n01440764/1.jpg", "n01443537/1.jpg", "checkpoints/1.jpg"], "checkpoints is not"),
    "images astray": (["1.jpg", "2.jpg", "3.jpg", "edited/1.jpg"], "1 image as class folders, and 3 others like 1.jpg"),
    "two sets of Parquet": (["data/cifar-train-0.parquet", "data/mnist-train-0.parquet"], "of 2 data sets"),
    "two numberings of Parquet": (
        ["train-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        "two numberings",
    ),
    "a file without split": (["data/x-train-0.parquet", "data/x-0.parquet"], "does not say its split"),
    "two layouts": (
        ["train/a/1.jpg", "val_images/ILSVRC2012_val_00000001_n01440764.JPEG"],
        "train/ is a split by its name, but is not read",
    ),
    "splits with a name before": (["mnist_train/1.jpg", "mnist_test/2.jpg"], "may be parts"),
    "numbered parts": (["HAM_images_part_1/1.jpg", "HAM_images_part_2/2.jpg", "m.csv"], "may be parts"),
    "compound split words": (["trainset/1.jpg", "testset/2.jpg"], "may be parts"),
    "an original val beside": (["train/a/1.jpg", "train/b/1.jpg", "ILSVRC2012_img_val/1.jpg"], "besides them images"),
    "sets told by a number": (["data/cifar10.parquet", "data/cifar100.parquet"], "lacks 98 of its 100 files"),
    "one split twice": (["x-valid-0.parquet", "x-validation-0.parquet"], "val is there 2 times"),
    "a file in another split": (["train/val-0.parquet"], r"val-0\.parquet is val by its name, but lies in train/"),
    "classes that go round": (["a/1.jpg", "b/1.jpg", "c -> ."], "c is a link that leads nowhere"),
    "splits or classes": (["train/1.jpg", "car/1.jpg"], "train may be parts of a data set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_a_guess_is_refused(tmp_path, name) -> None:
    """In one line that says what was seen and what to do."""
    files, words = REFUSED[name]
    root = tree(tmp_path / "source", *files) if files else tmp_path
    with pytest.raises(RefusedError, match=words) as refusal:
        open_source(root).read()
    assert "\n" not in str(refusal.value)
    assert str(root) in str(refusal.value)


ALLOWED = {
    "an empty class": ("empty-classes", ["a/1.jpg", "b/"], ("a", "b")),
    "a dangling class": ("broken-classes", ["a/1.jpg", "b -> nowhere", "c/1.jpg"], ("a", "b", "c")),
    "numbers with a gap": ("odd-classes", ["0/1.jpg", "10/1.jpg", "3/1.jpg"], ("0", "3", "10")),
    "an archive of a class": (
        "broken-classes",
        ["n01440764/1.jpg", "n01443537.tar.gz", "n01484850/1.jpg"],
        ("n01440764", "n01443537", "n01484850"),
    ),
    "an archive that is no class": ("broken-classes", ["a/1.jpg", "archive.zip", "c/1.jpg"], ("a", "c")),
    "other classes": ("different-classes", ["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"], ("a", "b", "c")),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_can_be_meant_can_be_allowed(tmp_path, name) -> None:
    """And labels stay where they would be with the missing images."""
    allowance, files, classes = ALLOWED[name]
    source = open_source(tree(tmp_path, *files), options=SourceOptions(allow=(allowance,)))  # type: ignore[arg-type]
    assert source.classes == classes
    for listing in source.read().listings:
        assert all(classes[listing.image(i).label] == listing.image(i).wnid for i in range(len(listing)))


def test_clutter_beside_splits_is_no_class(tmp_path) -> None:
    """__MACOSX, hidden folders and an empty devkit are counted, not read."""
    tree(tmp_path, *SPLITS, "__MACOSX/x/._y", ".git/config", "ILSVRC2012_devkit_t12/readme.txt")
    contents = open_source(tmp_path).read()
    assert [len(listing) for listing in contents.listings] == [2, 2]
    assert sum(each.files for each in contents.account.ignored) == 3


def test_a_split_can_be_left_out(tmp_path) -> None:
    """With the splits named, other folders do not matter, and are counted."""
    tree(tmp_path, "train/a/1.jpg", "val/1.jpg", "extra/b/1.jpg")
    source = open_source(tmp_path, splits=("train",))
    contents = source.read(("train",))
    assert len(contents.listings[0]) == 1
    assert sum(each.files for each in contents.account.ignored) == 2


def test_val_is_labelled_by_number_even_if_images_are_missing(tmp_path, pictures) -> None:
    """By sorted place, every label behind a gap would be wrong."""
    root = write.flat_val_devkit(tmp_path, pictures)
    first = min((root / "val").glob("*.JPEG"))
    first.unlink()
    kept = {each for each in expected(pictures) if each[1] != first.stem}
    assert images_of(root) == kept


@pytest.fixture
def unlisted(monkeypatch) -> Callable[[str], None]:
    """Make folders of a name impossible to list, as for a user who may not."""
    from alexnet_pipeline.raw import tree as module

    scandir = module.os.scandir

    def forbid(name: str) -> None:
        def refusing(path):
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(module.os, "scandir", refusing)

    return forbid


def test_a_class_that_may_not_be_listed_is_refused_or_kept_empty(tmp_path, unlisted) -> None:
    """Its absence would shift the labels of those behind it."""
    tree(tmp_path, "a/1.jpg", "b/1.jpg", "c/1.jpg")
    unlisted("b")
    with pytest.raises(RefusedError, match="b/ cannot be listed"):
        open_source(tmp_path).read()
    source = open_source(tmp_path, options=SourceOptions(allow=("broken-classes",)))
    (listing,) = source.read().listings
    assert source.classes == ("a", "b", "c")
    assert [(r.name, r.reason) for r in listing.rejects] == [("b", "unreadable")]
    assert listing.labels.tolist() == [0, 2]


def test_clutter_that_may_not_be_listed_is_no_obstacle(tmp_path, unlisted) -> None:
    """lost+found belongs to root on every disk that is a file system of its own."""
    tree(tmp_path, *SPLITS, "lost+found/x")
    unlisted("lost+found")
    account = open_source(tmp_path).read().account
    assert [(each.what, each.files) for each in account.ignored] == [("lost+found", 1)]


def test_a_table_in_a_split_is_about_that_split(tmp_path) -> None:
    """Hugging Face's ImageFolder: train/metadata.csv says nothing of test/."""
    tree(tmp_path, "train/0.jpg", "train/1.jpg", "test/0.jpg")
    table = tmp_path / "train" / "metadata.csv"
    table.write_text("file_name,label\n0.jpg,cat\n1.jpg,dog\n")
    with pytest.raises(RefusedError, match="test/ holds images without"):
        open_source(tmp_path, options=SourceOptions(labels=table))
    contents = open_source(tmp_path, options=SourceOptions(labels=table), splits=("train",)).read(("train",))
    assert names_of(contents.listings[0]) == ["cat/0.jpg", "dog/1.jpg"]
    assert contents.account.used == 1


def names_of(listing) -> list[str]:
    return sorted(listing.name(position) for position in range(len(listing)))


def test_undecodable_names_are_recorded_as_escapes(tmp_path) -> None:
    """JSON cannot hold them; keys and paths stay those of the disk."""
    import os

    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for name in (b"im\xe9.jpg", b"b.jpg"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"x")
    (listing,) = open_source(tmp_path).read().listings
    assert listing.classes == ("caf\\udce9",)
    assert names_of(listing) == ["caf\\udce9/b.jpg", "caf\\udce9/im\\udce9.jpg"]
    assert [Path(listing.image(at).path).read_bytes() for at in range(2)] == [b"x", b"x"]


def test_a_devkit_labels_only_the_images_of_its_challenge(tmp_path, pictures) -> None:
    """Those of 2010 have other numbers, test has other labels, and a lost line would shift them all."""
    root = write.flat_val_devkit(tmp_path, pictures, extracted=True)
    truth = next(root.rglob("*_validation_ground_truth.txt"))
    lines = truth.read_text().split()
    truth.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(RefusedError, match="23 labels, but an image is number 24"):
        open_source(root)
    truth.write_text("\n".join(lines) + "\n")
    for path in sorted((root / "val").glob("*.JPEG")):
        path.rename(path.with_name(path.name.replace("ILSVRC2012_val", "ILSVRC2010_val")))
    with pytest.raises(RefusedError, match=r"no images found in the split 'val'.*is not in"):
        open_source(root).read()


@pytest.mark.parametrize("writer", [write.kaggle_folder, write.flat_val_devkit, write.tiny_imagenet])
def test_the_classes_that_a_source_lists_define_the_labels(tmp_path, pictures, writer) -> None:
    """A half copy is refused, or keeps the labels of the whole."""
    root = writer(tmp_path, pictures)
    whole = open_source(root).classes
    train = next(path for path in root.rglob("train") if path.is_dir() and (path / whole[0]).is_dir())
    shutil.rmtree(train / whole[0])
    with pytest.raises(RefusedError, match=f"train lacks 1 class of those that the source lists .{whole[0]}"):
        open_source(root).read()
    source = open_source(root, options=SourceOptions(allow=("empty-classes",)))
    assert source.classes == whole
    listing = source.read(("train",)).listings[0]
    assert all(whole[listing.image(at).label] == listing.image(at).wnid for at in range(len(listing)))


def test_contradicting_names_are_refused(tmp_path, pictures) -> None:
    """Two splits that number the classes differently are no data set."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for split, labels in (("train", [0, 1]), ("validation", [1, 0])):
        paths = ["n01440764_1_n01440764.JPEG", "n01443537_1_n01443537.JPEG"]
        image = pa.StructArray.from_arrays([pa.array([b"x", b"x"]), pa.array(paths)], ["bytes", "path"])
        parquet.write_table(pa.table({"image": image, "label": labels}), tmp_path / f"{split}-00000-of-00001.parquet")
    with pytest.raises(RefusedError, match="the label 1 is n01440764 by the names of val's images, but n01443537"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "columns",
    [
        {"image": [[b"x"]], "label": [0]},
        {"image": [b"x"], "label": ["cat"]},
        {"image": [b"x"], "label": [[0]]},
        {"image": [{"bytes": [1]}], "label": [0]},
        {"image": ["text"], "label": [0]},
        {"picture_id": [b"x"], "label": [0]},
    ],
)
def test_other_columns_of_parquet_are_refused_by_type(tmp_path, columns) -> None:
    """With what was found and how to name others."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
    with pytest.raises(RefusedError, match=r"expected bytes|name those of image and label"):
        open_source(tmp_path)


def test_a_damaged_split_of_tfrecord_is_no_missing_one(tmp_path, pictures) -> None:
    """Its damage is a refusal, or a reject where some records are whole."""
    pytest.importorskip("google_crc32c")
    root = write.tfrecord(tmp_path, pictures)
    first = min(root.glob("*train*"))
    data = first.read_bytes()
    first.write_bytes(data[: len(data) // 2])
    rejects = open_source(root).read().listings[0].rejects
    assert [(each.name, each.reason) for each in rejects] == [(first.name, "truncated_archive")]
    for path in root.glob("*train*"):
        path.write_bytes(b"<html>")
    with pytest.raises(RefusedError, match="no images found in the split 'train'"):
        open_source(root).read()


def test_an_index_that_lists_more_tars_is_a_refusal(tmp_path, pictures) -> None:
    """As is a data set that is not finished."""
    root = write.webdataset(tmp_path, pictures)
    min(root.glob("*train*.tar")).unlink()
    with pytest.raises(RefusedError, match=r"_info\.json lists 1 file that is missing .imagenet1k-train-0000\.tar"):
        open_source(root)
    assert open_source(root, options=SourceOptions(allow=("missing-files",))).read().listings
    (root / ".state").mkdir()
    (root / ".state" / "plan.json").write_text("{}")
    with pytest.raises(RefusedError, match="is an unfinished data set"):
        open_source(root)


def test_folders_in_archives_are_classes_even_if_empty(tmp_path) -> None:
    """As on disk, so that labels do not depend on what was packed."""
    tree(tmp_path / "set", "a/1.jpg", "b/", "c/1.jpg")
    shutil.make_archive(str(tmp_path / "x"), "tar", tmp_path / "set")
    shutil.make_archive(str(tmp_path / "y"), "zip", tmp_path / "set")
    for name in ("x.tar", "y.zip"):
        with pytest.raises(RefusedError, match="b/ holds no images and is empty"):
            open_source(tmp_path / name).read()
        assert open_source(tmp_path / name, options=SourceOptions(allow=("empty-classes",))).classes == ("a", "b", "c")


def test_a_very_deep_archive_is_no_crash(tmp_path) -> None:
    """Names with more folders than any data set has are rejected."""
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("a/1.jpg", "b/1.jpg", "d/" * 1500 + "1.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    (listing,) = open_source(tmp_path / "x.tar").read().listings
    assert [reject.reason for reject in listing.rejects] == ["unsafe_name"]


@pytest.mark.parametrize("splits", [("train", "train"), ("test",)])
def test_splits_that_make_no_sense_are_refused(tmp_path, splits) -> None:
    """Named twice, or not there."""
    tree(tmp_path, *SPLITS)
    with pytest.raises(RefusedError, match=r"twice|has no split"):
        open_source(tmp_path, splits=splits).read(splits)


def test_a_folder_called_train_is_not_val(tmp_path) -> None:
    """Its own name is the split, unless it says nothing."""
    tree(tmp_path / "train", "a/1.jpg", "b/1.jpg")
    assert open_source(tmp_path / "train").splits == ("train",)
    with pytest.raises(RefusedError, match="the source is called train, which is no val"):
        open_source(tmp_path / "train", splits=("val",))
    (tmp_path / "train").rename(tmp_path / "photos")
    assert open_source(tmp_path / "photos", splits=("val",)).splits == ("val",)


RIGHT = {
    "classes called by words of parts": ["image_of_a_cat/1.jpg", "test_tube/1.jpg", "bullet_train/1.jpg"],
    "numbered classes": ["class_0/1.jpg", "class_1/1.jpg"],
    "train as a class in splits": [f"{split}/{name}/1.jpg" for split in ("train", "val") for name in ("bus", "train")],
    "formats among others": ["jpeg/1.jpg", "png/1.png", "cats/1.jpg"],
    "ten numbers": [f"{number}/1.jpg" for number in range(1, 11)],
    "an archive that is unpacked": ["a/1.jpg", "b/1.jpg", "a.zip"],
    "a link to an image that is gone": ["a/1.jpg", "a/2.jpg -> gone.jpg", "b/1.jpg"],
    "a devkit beside": ["n01440764/1.jpg", "n01443537/1.jpg", "ILSVRC2012_devkit_t12.zip"],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_refused(tmp_path, name) -> None:
    """Class folders of any name, and what people leave beside them."""
    root = tree(tmp_path / "source", *RIGHT[name])
    contents = open_source(root).read()
    images = sum(len(listing) for listing in contents.listings)
    assert images == sum(not file.endswith(".zip") and "->" not in file for file in RIGHT[name])


def test_hashes_in_the_names_of_parquet_are_no_sets(tmp_path, pictures) -> None:
    """As Hugging Face wrote them until 2023."""
    pytest.importorskip("pyarrow")
    root = write.parquet(tmp_path, pictures)
    for number, path in enumerate(sorted((root / "data").iterdir())):
        path.rename(path.with_name(f"{path.stem}-{number:016x}.parquet"))
    found = images_of(root)
    assert found == expected(pictures, splits={"train", "val"})


def test_a_damaged_tar_of_unknown_classes_is_refused(tmp_path) -> None:
    """A class that is lost would shift the labels of the others; a list of them helps."""
    tree(tmp_path / "set", "cat/1.jpg", "dog/1.jpg")
    path = Path(shutil.make_archive(str(tmp_path / "x"), "tar", tmp_path / "set"))
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data + b"\1" * 1024)
    with pytest.raises(RefusedError, match=r"x\.tar is damaged .*, so classes may be missing"):
        open_source(path).read()
    listed = tmp_path / "classes.txt"
    listed.write_text("ant\ncat\ndog\n")
    (listing,) = open_source(path, options=SourceOptions(classes=listed)).read().listings
    assert listing.labels.tolist() == [1, 2]


def test_the_output_may_lie_deeper_in_the_source(tmp_path) -> None:
    """A folder that holds only the output is left out as well, so that a second run finds the same classes."""
    root = tree(tmp_path / "s", "a/1.jpg", "b/1.jpg", "work/out/antialias/x.tar")
    options = SourceOptions(allow=("output-inside-source",))
    assert open_source(root, options=options, out=root / "work" / "out").classes == ("a", "b")


def test_folders_that_go_round_end(tmp_path) -> None:
    """Links to a folder above are not followed."""
    root = tree(tmp_path / "s", "a/1.jpg", "b/1.jpg", "a/up -> ..", "b/up -> ..")
    (listing,) = open_source(root).read().listings
    assert len(listing) == 2
    assert [each.name for each in listing.rejects] == ["a/up", "b/up"]


def test_an_image_beside_images_of_tiny_imagenet_is_rejected(tmp_path, pictures) -> None:
    """By name, and the counts add up."""
    root = write.tiny_imagenet(tmp_path, pictures)
    wnid = open_source(root).classes[0]
    (root / "train" / wnid / "stray.JPEG").write_bytes(b"x")
    rejects = open_source(root).read().listings[0].rejects
    assert [(each.name, each.reason) for each in rejects] == [(f"{wnid}/stray.JPEG", "nested")]


def test_a_key_twice_in_a_row_is_rejected(tmp_path, pictures) -> None:
    """Neither image is taken for the other."""
    root = write.webdataset(tmp_path, pictures)
    with tarfile.open(root / "imagenet1k-train-0000.tar", "a") as archive:
        for _ in range(2):
            for name, data in (("k.jpg", b"x"), ("k.cls", b"0")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    assert [each.reason for each in open_source(root).read().listings[0].rejects] == ["duplicate_key"]


def test_a_split_alone_finds_the_devkit_beside_it(tmp_path, pictures) -> None:
    """train/ and val/ of ILSVRC2012 have the labels that they have together, and a half copy is refused."""
    root = write.flat_val_devkit(tmp_path, pictures)
    for split in ("train", "val"):
        source = open_source(root / split)
        assert source.layout.name == "ilsvrc2012"
        assert images_of(root / split) == expected(pictures, splits={split})
    shutil.rmtree(root / "train" / source.classes[0])
    with pytest.raises(RefusedError, match="train lacks 1 class"):
        open_source(root / "train").read()


def test_a_table_of_another_split_says_nothing_of_this_one(tmp_path) -> None:
    """Though the names of the files are the same."""
    tree(tmp_path, "val/0.jpg", "val/1.jpg")
    table = tmp_path / "t.csv"
    table.write_text("train/0.jpg,cat\ntrain/1.jpg,dog\n")
    with pytest.raises(RefusedError, match=r"t\.csv has none of the files"):
        open_source(tmp_path / "val", options=SourceOptions(labels=table))
    table.write_text("train/0.jpg,cat\ntrain/1.jpg,dog\nval/0.jpg,dog\nval/1.jpg,cat\n")
    (listing,) = open_source(tmp_path / "val", options=SourceOptions(labels=table)).read().listings
    assert names_of(listing) == ["cat/1.jpg", "dog/0.jpg"]


def test_class_names_that_contradict_the_images_are_refused(tmp_path, pictures) -> None:
    """TFDS's label.labels.txt of another release would name every class wrongly."""
    pytest.importorskip("google_crc32c")
    root = write.tfrecord(tmp_path, pictures)
    listed = (root / "label.labels.txt").read_text().split()
    (root / "label.labels.txt").write_text("\n".join(reversed(listed)))
    with pytest.raises(
        RefusedError, match=r"the label \d+ is n\d+ by label\.labels\.txt, but its images are named after n"
    ):
        open_source(root)

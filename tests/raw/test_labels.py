"""Tables of labels and lists of classes: what is read of each form, and what is refused."""

import json
from pathlib import Path

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.labels import Labels, read_classes, read_labels
from alexnet_pipeline.raw.names import class_at_end, in_order, is_part, number_of, oddities
from alexnet_pipeline.raw.tree import DiskFolder
from alexnet_pipeline.raw.words import known_words, parse_words, words_of

WANTED = {"a.jpg": "cat", "b.jpg": "dog"}


def folder_of(root: Path, *files: str, path: str = "") -> DiskFolder:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return DiskFolder(root / path if path else root, path)


def classes_in(labels: Labels, folder: DiskFolder) -> dict[str, str] | None:
    found = labels.of_folder(folder)
    return None if found is None else found.class_by_file


TABLES = {
    "x.csv": [
        "a.jpg,cat\nb.jpg,dog\n",
        "file,class\na.jpg,cat\nb.jpg,dog",
        "\ufeffimage,label\r\na.jpg,cat\r\nb.jpg,dog\r\n",
    ],
    "y.csv": ["id,split,label\na.jpg,train,cat\nb.jpg,val,dog\n", '"images/a.jpg","cat"\n"images\\b.jpg","dog"\n'],
    "x.tsv": ["a.jpg\tcat\nb.jpg\tdog\n"],
    "x.txt": ["a.jpg cat\nb.jpg dog\n", "a.jpg\tcat\n\nb.jpg\tdog\n"],
    "x.json": [
        json.dumps(WANTED),
        json.dumps([*WANTED.items()]),
        json.dumps([{"file": f, "label": c} for f, c in WANTED.items()]),
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TABLES.items() for text in texts])
def test_every_form_of_table_is_read(tmp_path, name, text) -> None:
    """With headings and without, with folders before the names, in any encoding of line ends."""
    (tmp_path / name).write_text(text, newline="")
    found = read_labels(tmp_path / name).of_folder(folder_of(tmp_path / "photos", *WANTED, "c.jpg"))
    assert found.class_by_file == WANTED
    assert found.classes == ("cat", "dog")


def test_kaggles_solution_is_read(tmp_path) -> None:
    """The first word is the class, boxes follow; names lack their suffix."""
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 111 108 230 300 n01751748 1 2 3 4 \n"
    )
    labels = read_labels(tmp_path / "LOC_val_solution.csv")
    folder = folder_of(tmp_path / "val", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG")
    assert classes_in(labels, folder) == {"ILSVRC2012_val_00000001.JPEG": "n01751748"}


@pytest.mark.parametrize("head", ["filepaths,labels", "image_name,label", "File Name,Class Label", "this,that", ""])
def test_a_heading_is_never_a_class(tmp_path, head) -> None:
    """Known or not, because it names no file, while the rows below do."""
    (tmp_path / "x.csv").write_text(head + "\na.jpg,10\nb.jpg,9\n")
    found = read_labels(tmp_path / "x.csv").of_folder(folder_of(tmp_path / "photos", *WANTED))
    assert found.class_by_file == {"a.jpg": "10", "b.jpg": "9"}
    assert found.classes == ("9", "10")


def test_a_row_means_the_file_of_its_folder(tmp_path) -> None:
    """One name in two splits is two files; a row without folder cannot tell them apart."""
    (tmp_path / "x.csv").write_text("train/0.jpg,cat\nval/0.jpg,dog\n/data/val/1.jpg,cat\n")
    folder_of(tmp_path, "train/0.jpg", "train/1.jpg", "val/0.jpg", "val/1.jpg")
    train, val = (DiskFolder(tmp_path / name, name) for name in ("train", "val"))
    labels = read_labels(tmp_path / "x.csv")
    assert classes_in(labels, train) == {"0.jpg": "cat"}
    assert classes_in(labels, val) == {"0.jpg": "dog", "1.jpg": "cat"}
    labels.check_ambiguous([train, val])
    (tmp_path / "y.csv").write_text("0.jpg,cat\n1.jpg,dog\n")
    with pytest.raises(RefusedError, match=r"does not say whether 0\.jpg is that of train/ or of val/"):
        read_labels(tmp_path / "y.csv").check_ambiguous([train, val])
    (tmp_path / "train/z.csv").write_text("0.jpg,cat\n1.jpg,dog\n")
    read_labels(tmp_path / "train/z.csv").check_ambiguous([train])


@pytest.mark.parametrize(
    ("text", "words"),
    [("a.jpg,cat\na.jpg,dog\n", "two classes"), ("a.jpg,\n", "is ''"), ("a.jpg,NaN\n", "is 'NaN'")],
)
def test_a_row_that_is_not_clear_is_refused(tmp_path, text, words) -> None:
    """Where it is about a file that is there."""
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(RefusedError, match=words):
        read_labels(tmp_path / "x.csv").of_folder(folder_of(tmp_path / "photos", *WANTED))
    assert classes_in(read_labels(tmp_path / "x.csv"), folder_of(tmp_path / "others", "c.jpg")) is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "a.jpg,cat,1\nb.jpg,dog,2\n", "columns"),
        ("x.csv", "file,class\n", "no labels"),
        ("x.csv", "", "no labels"),
        ("x.csv", "file,class\na.jpg\n", "the row 'a.jpg' has 1 column"),
        ("x.json", "{", "cannot be read"),
        ("x.json", "[" * 100_000, "cannot be read"),
        ("x.json", "3", "expected an object"),
        ("x.pkl", "a", "expected a .csv"),
        ("x.csv", "\xff", "not text in UTF-8"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(tmp_path, name, text, words) -> None:
    """By name, in one line."""
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(RefusedError, match=words) as refusal:
        read_labels(tmp_path / name)
    assert "x." in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_lists_of_classes_are_read(tmp_path) -> None:
    """Names with words behind them, a manifest, a list in JSON; nothing twice."""
    listed = tmp_path / "classes.txt"
    listed.write_text("n02\ttench\n\nn01 goldfish, Carassius\n")
    assert read_classes(listed, {"n01"}) == ("n02", "n01")
    listed.write_text("BMW 3 Series\nBMW X5\n")
    assert read_classes(listed, {"BMW X5"}) == ("BMW 3 Series", "BMW X5")
    listed.write_text("class\ncat\ndog\n")
    with pytest.raises(RefusedError, match="the first line, class, looks like a heading"):
        read_classes(listed, {"cat", "dog"})
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": ["b", "a"]}))
    assert read_classes(tmp_path, frozenset()) == read_classes(tmp_path / "manifest.json", frozenset()) == ("b", "a")
    listed.write_text("# in my order\nb\na\n")
    assert read_classes(listed, frozenset()) == ("b", "a")
    heading = "wnid\nn01440764\nn01443537\n"
    for text, words in (
        ("a\nb\na\n", "a twice"),
        ("", "no classes"),
        (heading, "the first line, wnid, looks like a heading"),
    ):
        listed.write_text(text)
        with pytest.raises(RefusedError, match=words):
            read_classes(listed, frozenset())
    (tmp_path / "manifest.json").write_text('{"classes": 3}')
    with pytest.raises(RefusedError, match="no list of classes"):
        read_classes(tmp_path, frozenset())
    with pytest.raises(RefusedError, match="No such file"):
        read_classes(tmp_path / "gone", frozenset())


def test_numbers_sort_as_numbers() -> None:
    """Only where every name is one."""
    assert in_order(["10", "9", "100"]) == ("9", "10", "100")
    assert in_order(["10", "9", "a"]) == ("10", "9", "a")


def test_names_of_imagenet_are_understood() -> None:
    """The number of a validation image, and the class that Hugging Face appends."""
    assert number_of("ILSVRC2012_val_00000293.JPEG") == (2012, "val", 293)
    assert number_of("ILSVRC2010_test_00000293.JPEG") == (2010, "test", 293)
    assert number_of("n01440764_293.JPEG") == number_of("x_ILSVRC2012_val_00000293.JPEG") == (0, "", 0)
    assert class_at_end("n01440764_10026_n01440764.JPEG") == ("n01440764_10026.JPEG", "n01440764")
    assert class_at_end("n01440764_10026.JPEG") is None


def test_the_words_of_imagenet_are_known() -> None:
    """A thousand classes in the order of their ids; a source's own words come first."""
    known = known_words()
    assert len(known) == 1000
    assert list(known) == sorted(known)
    assert (known["n01440764"], known["n15075141"]) == (
        "tench, Tinca tinca",
        "toilet tissue, toilet paper, bathroom tissue",
    )
    assert words_of(("n01440764", "cat", "n15075141"), {"cat": "a cat", "n15075141": "paper"}) == (
        "tench, Tinca tinca",
        "a cat",
        "paper",
    )
    assert parse_words("n1 a b\nn2\tc d\nn3\n") == {"n1": "a b", "n2": "c d"}


@pytest.mark.parametrize(
    "name",
    ["train2017", "ILSVRC2012_img_val", "train_images", "images_val", "trainA", "train.X1", "JPEGImages", "masks"],
)
def test_parts_of_a_data_set_are_told_from_classes(name) -> None:
    """By every word of the name, so that a bullet train stays a class."""
    assert is_part(name)
    assert not any(map(is_part, ["bullet_train", "n01440764", "test_tube", "cat", "7", "image_of_a_cat", "tomato"]))


def test_odd_class_names_are_found() -> None:
    """Numbers with gaps, and one name of another kind among many."""
    assert oddities(["0", "1", "3"]) == "the classes are numbers from 0 to 3, but 2 is missing"
    assert oddities(["5", "6"]) == "the classes are numbers that begin at 5"
    assert "two ways" in oddities(["1", "01", "2"])
    assert not oddities(["1", "2"])
    assert not oddities(["cat", "dog", "7"])
    assert oddities(["n01440764", "n01443537", "checkpoints"]) == "most classes are WordNet IDs, but checkpoints is not"
    assert "other" in oddities([*map(str, range(12)), "other"])

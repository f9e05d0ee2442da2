"""Tables of labels and lists of classes: what is read of each form, and what is refused."""

import json

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.labels import read_classes, read_labels
from alexnet_pipeline.raw.names import class_at_end, in_order, number_of
from alexnet_pipeline.raw.words import known_words, parse_words, words_of

WANTED = {"a.jpg": "cat", "b.jpg": "dog"}
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
    labels = read_labels(tmp_path / name)
    assert {file: labels.class_of(file) for file in WANTED} == WANTED
    assert labels.classes == ("cat", "dog")


def test_kaggles_solution_is_read(tmp_path) -> None:
    """The first word is the class, boxes follow; names lack their suffix."""
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 111 108 230 300 n01751748 1 2 3 4 \n"
    )
    labels = read_labels(tmp_path / "LOC_val_solution.csv")
    assert labels.class_of("ILSVRC2012_val_00000001.JPEG") == "n01751748"
    assert labels.class_of("ILSVRC2012_val_00000002.JPEG") is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "a.jpg,cat,1\nb.jpg,dog,2\n", "columns"),
        ("x.csv", "a.jpg,cat\na.jpg,dog\n", "two classes"),
        ("x.csv", "a.jpg,\n", "the class of a.jpg is empty"),
        ("x.csv", "file,class\n", "no labels"),
        ("x.csv", "", "no labels"),
        ("x.csv", "file,class\na.jpg\n", "row 1 has 1 columns"),
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
    assert read_classes(listed) == ("n02", "n01")
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": ["b", "a"]}))
    assert read_classes(tmp_path) == read_classes(tmp_path / "manifest.json") == ("b", "a")
    for text, words in (("a\nb\na\n", "a twice"), ("", "no classes")):
        listed.write_text(text)
        with pytest.raises(RefusedError, match=words):
            read_classes(listed)
    (tmp_path / "manifest.json").write_text('{"classes": 3}')
    with pytest.raises(RefusedError, match="no list of classes"):
        read_classes(tmp_path)
    with pytest.raises(RefusedError, match="No such file"):
        read_classes(tmp_path / "gone")


def test_numbers_sort_as_numbers() -> None:
    """Only where every name is one."""
    assert in_order(["10", "9", "100"]) == ("9", "10", "100")
    assert in_order(["10", "9", "a"]) == ("10", "9", "a")


def test_names_of_imagenet_are_understood() -> None:
    """The number of a validation image, and the class that Hugging Face appends."""
    assert number_of("ILSVRC2012_val_00000293.JPEG") == number_of("ILSVRC2010_test_00000293.JPEG") == 293
    assert number_of("n01440764_293.JPEG") == number_of("x_ILSVRC2012_val_00000293.JPEG") == 0
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

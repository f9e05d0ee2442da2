"""The writers of the layout tests, read back without the product: the same pictures come out of every layout."""

import csv
import functools
import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from scipy.io import loadmat

from tests.raw import layouts
from tests.raw.layouts import Picture, hf_name, of_split, wnids_of

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Each writer, in each of its forms.
WRITERS = {
    "class_folders": layouts.class_folders,
    "class_folders_one": layouts.class_folders_one,
    "class_folders_valid": layouts.class_folders_valid,
    "class_folders_capitals": layouts.class_folders_capitals,
    "digits": layouts.digits,
    "flat_val_devkit": layouts.flat_val_devkit,
    "flat_val_devkit extracted": functools.partial(layouts.flat_val_devkit, extracted=True),
    "flat_labels": layouts.flat_labels,
    "wnid_tars": layouts.wnid_tars,
    "wnid_tars_split": layouts.wnid_tars_split,
    "half_extracted": layouts.half_extracted,
    "ilsvrc2012": layouts.ilsvrc2012,
    "ilsvrc2012_mixed": layouts.ilsvrc2012_mixed,
    "ilsvrc2010": functools.partial(layouts.ilsvrc2010, gzipped=True),
    "kaggle_folder": layouts.kaggle_folder,
    "kaggle_zip": functools.partial(layouts.kaggle_zip, deflated=True),
    "kaggle_zip_of_tar_gz": layouts.kaggle_zip_of_tar_gz,
    "tiny_imagenet": layouts.tiny_imagenet,
    "parquet": layouts.parquet,
    "hf_files": layouts.hf_files,
    "hf_archives": layouts.hf_archives,
    "webdataset": layouts.webdataset,
    "tfrecord": layouts.tfrecord,
    "plain_tar": layouts.plain_tar,
    "plain_tar_gz": layouts.plain_tar_gz,
    "plain_zip": functools.partial(layouts.plain_zip, deflated=True),
    "imagenet21k": layouts.imagenet21k,
    "imagenet_r": layouts.imagenet_r,
}


@pytest.fixture(scope="module")
def pictures() -> tuple[Picture, ...]:
    """The generated set."""
    return layouts.pictures()


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def in_tar(data: bytes) -> dict[str, bytes]:
    """Every file in a tar, compressed or not."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def in_zip(path: Path) -> dict[str, bytes]:
    """Every file in a zip, whose checksums hold."""
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}


def in_wnid_tars(files: dict[str, bytes]) -> list[Picture]:
    """The train pictures of archives `[train/]WNID.tar`."""
    found = []
    for name, data in files.items():
        if Path(name).suffix == ".tar" and Path(name).name.startswith("n"):
            found += [Picture("train", Path(name).stem, file, image) for file, image in in_tar(data).items()]
    return found


def in_class_folders(files: dict[str, bytes]) -> list[Picture]:
    """The pictures of `SPLIT/CLASS/FILE`, without the clutter beside them."""
    found = []
    for name, data in files.items():
        parts = name.split("/")
        if len(parts) == 3 and parts[2].endswith(".JPEG") and not parts[2].startswith("._"):
            found.append(Picture(SPLITS[parts[0].lower()], parts[1], parts[2], data))
    return found


def devkit_wnids(files: dict[str, bytes], top: str, year: int, truth: str = "") -> list[str]:
    """The class of each picture in the order of their file names, from the devkit."""
    synsets = loadmat(io.BytesIO(files[f"{top}/data/meta.mat"]), squeeze_me=True)["synsets"]
    leaf = {int(s[f"ILSVRC{year}_ID"]): str(s["WNID"]) for s in synsets if s["num_children"] == 0}
    truth = truth or files[f"{top}/data/ILSVRC{year}_validation_ground_truth.txt"].decode()
    return [leaf[int(line)] for line in truth.split()]


def flat(files: dict[str, bytes], split: str, wnids: list[str] | dict[str, str]) -> list[Picture]:
    """Flat pictures with their classes: a list in the order of the names, or by name."""
    names = sorted(name for name in files if name.endswith(".JPEG"))
    of = wnids if isinstance(wnids, dict) else dict(zip(names, wnids, strict=True))
    return [Picture(split, of[name], name, files[name]) for name in names]


def below(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    """The files that lie directly in a folder, by base name."""
    return {Path(name).name: data for name, data in files.items() if str(Path(name).parent) == folder}


def same(found: list[Picture], expected: list[Picture]) -> bool:
    """The same pictures, whatever their order."""
    return sorted(found, key=place) == sorted(expected, key=place)


def place(picture: Picture) -> tuple[str, str]:
    """Where a picture lies in a sorted set."""
    return picture.split, picture.file


def labelled(pictures: tuple[Picture, ...]) -> list[Picture]:
    """Train and val."""
    return of_split(pictures, "train") + of_split(pictures, "val")


def test_the_generated_set_varies(pictures) -> None:
    """It has twelve classes, unsorted val labels, several sizes, greyscale pictures and unlabelled test pictures."""
    import simplejpeg

    headers = [simplejpeg.decode_jpeg_header(picture.data) for picture in pictures]
    val = of_split(pictures, "val")
    assert pictures == layouts.pictures()
    assert len({picture.data for picture in pictures}) == len({picture.file for picture in pictures}) == 64
    assert len({(height, width) for height, width, *_ in headers}) > 50
    assert {space for *_, space, _ in headers} == {"YCbCr", "Gray"}
    for split, least in (("train", 3), ("val", 2)):
        counts = defaultdict(int)
        for picture in of_split(pictures, split):
            counts[picture.wnid] += 1
        assert len(counts) == 12
        assert min(counts.values()) >= least
    assert [picture.wnid for picture in val] != sorted(picture.wnid for picture in val)
    assert [picture.file for picture in val] == [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 25)]
    assert {picture.wnid for picture in of_split(pictures, "test")} == {""}
    assert len(layouts.pictures(70)) == 70


def test_the_real_set_is_named_as_imagenet(data_folder) -> None:
    """It has 240 different photographs under ImageNet's names."""
    made = layouts.real_pictures(data_folder)
    assert len(made) == len({picture.data for picture in made}) == len({picture.file for picture in made}) == 240
    assert len(wnids_of(made)) == 10
    for picture in made:
        if picture.split == "train":
            assert picture.file.startswith(f"{picture.wnid}_")
        else:
            assert picture.file.startswith(f"ILSVRC2012_{picture.split}_0000")


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_are_the_same_each_time(name, pictures, tmp_path) -> None:
    """Two folders written from the same pictures hold the same files, and the returned path exists."""
    chosen = layouts.pictures(year=2010) if name == "ilsvrc2010" else pictures
    for folder in ("a", "b"):
        result = WRITERS[name](tmp_path / folder, chosen)
        assert all(path.exists() for path in (result if isinstance(result, tuple) else (result,)))
    assert files_below(tmp_path / "a") == files_below(tmp_path / "b") != {}


@pytest.mark.parametrize("name", ["class_folders", "class_folders_valid", "class_folders_capitals"])
def test_class_folders(name, pictures, tmp_path) -> None:
    """Train and val come back, with what operating systems leave beside them."""
    files = files_below(WRITERS[name](tmp_path, pictures))
    assert same(in_class_folders(files), labelled(pictures))
    assert {Path(file).name[:2] for file in files} == {"n0", "IL", "._", ".D", "Th"}
    assert len(list(tmp_path.rglob("lost+found"))) == 1


def test_labelled_test_pictures_get_class_folders(tmp_path) -> None:
    """The set of 2010 has test labels."""
    chosen = layouts.pictures(year=2010)
    assert same(in_class_folders(files_below(layouts.class_folders(tmp_path, chosen))), list(chosen))


def test_one_split_of_class_folders(pictures, tmp_path) -> None:
    """The root holds the class folders themselves."""
    files = files_below(layouts.class_folders_one(tmp_path, pictures, "val"))
    assert same(in_class_folders({f"val/{name}": data for name, data in files.items()}), of_split(pictures, "val"))


def test_digits(pictures, tmp_path) -> None:
    """Folder i is class i in the order of the wnids, and text order differs from that."""
    found = in_class_folders(files_below(layouts.digits(tmp_path, pictures)))
    wnids = wnids_of(pictures)
    assert same([Picture(p.split, wnids[int(p.wnid)], p.file, p.data) for p in found], labelled(pictures))
    assert sorted(map(str, range(len(wnids)))) != list(map(str, range(len(wnids))))


@pytest.mark.parametrize("extracted", [False, True])
def test_flat_val_devkit(pictures, tmp_path, extracted) -> None:
    """The devkit labels the flat val pictures by their numbers, in an order of classes of its own."""
    files = files_below(layouts.flat_val_devkit(tmp_path, pictures, extracted))
    devkit = files if extracted else in_tar(files["ILSVRC2012_devkit_t12.tar.gz"])
    wnids = devkit_wnids(devkit, "ILSVRC2012_devkit_t12", 2012)
    found = in_class_folders(files) + flat(below(files, "val"), "val", wnids)
    assert same(found, labelled(pictures))
    synsets = loadmat(io.BytesIO(devkit["ILSVRC2012_devkit_t12/data/meta.mat"]), squeeze_me=True)["synsets"]
    leaves = [str(synset["WNID"]) for synset in synsets if synset["num_children"] == 0]
    assert len(synsets) == len(leaves) + 3
    assert leaves != sorted(leaves) == wnids_of(pictures)
    # The inner nodes name each other node once, the root last.
    assert sorted(int(child) for synset in synsets for child in synset["children"]) == list(range(1, len(synsets)))


@pytest.mark.parametrize("form", ["csv", "csv_plain", "tsv", "txt", "json"])
def test_flat_labels(pictures, tmp_path, form) -> None:
    """The labels file names each picture of the folder and its class."""
    folder, labels = layouts.flat_labels(tmp_path, pictures, form)
    assert labels.name == f"labels.{form[:4].removesuffix('_')}"
    if form == "json":
        of = json.loads(labels.read_text())
    else:
        delimiter = {"tsv": "\t", "txt": " "}.get(form, ",")
        rows = list(csv.reader(labels.read_text().splitlines(), delimiter=delimiter))
        header = [rows.pop(0)] if form in {"csv", "tsv"} else []
        assert header in ([], [["file", "class"]])
        of = dict(rows)
    assert same(flat(files_below(folder), "val", of), of_split(pictures, "val"))
    assert list(of) != sorted(of)


def test_wnid_tars(pictures, tmp_path) -> None:
    """Each archive holds the pictures of its class; ImageNet-21k's folder is the same."""
    for name, writer in (("plain", layouts.wnid_tars), ("21k", layouts.imagenet21k)):
        files = files_below(writer(tmp_path / name, pictures))
        assert same(in_wnid_tars(files), of_split(pictures, "train"))
    assert (tmp_path / "21k" / "winter21_whole" / "n01440764.tar").is_file()


@pytest.mark.parametrize("name", ["wnid_tars_split", "half_extracted"])
def test_wnid_tars_beside_flat_val(name, pictures, tmp_path) -> None:
    """Classes lie in `train/` as archives or folders, never both."""
    files = files_below(WRITERS[name](tmp_path, pictures))
    wnids = devkit_wnids(in_tar(files["ILSVRC2012_devkit_t12.tar.gz"]), "ILSVRC2012_devkit_t12", 2012)
    archives, folders = in_wnid_tars(files), in_class_folders(files)
    assert same(archives + folders + flat(below(files, "val"), "val", wnids), labelled(pictures))
    assert len(wnids_of(folders)) == (6 if name == "half_extracted" else 0)


@pytest.mark.parametrize("extracted", ["", "train", "val"])
def test_ilsvrc2012(pictures, tmp_path, extracted) -> None:
    """The original files, or one split extracted, give train and val with the devkit's labels."""
    if extracted:
        files = files_below(layouts.ilsvrc2012_mixed(tmp_path, pictures, extracted))
    else:
        files = files_below(layouts.ilsvrc2012(tmp_path, pictures))
        assert sorted(files) == [
            "ILSVRC2012_devkit_t12.tar.gz",
            "ILSVRC2012_img_train.tar",
            "ILSVRC2012_img_val.tar",
        ]
    wnids = devkit_wnids(in_tar(files["ILSVRC2012_devkit_t12.tar.gz"]), "ILSVRC2012_devkit_t12", 2012)
    val = below(files, "val") if extracted == "val" else in_tar(files["ILSVRC2012_img_val.tar"])
    train = in_class_folders(files) if extracted == "train" else in_wnid_tars(in_tar(files["ILSVRC2012_img_train.tar"]))
    assert same(train + flat(val, "val", wnids), labelled(pictures))


@pytest.mark.parametrize("extracted", [False, True])
def test_ilsvrc2010(tmp_path, extracted) -> None:
    """With the patch applied and the gzipped picture unpacked, all three splits come back."""
    chosen = layouts.pictures(year=2010)
    files = files_below(layouts.ilsvrc2010(tmp_path, chosen, gzipped=True, extracted=extracted))
    devkit = files if extracted else in_tar(files["ILSVRC2010_devkit-1.0.tar.gz"])
    found = in_wnid_tars(in_tar(files["ILSVRC2010_images_train.tar"]))
    truths = {"val": "", "test": files["ILSVRC2010_test_ground_truth.txt"].decode()}
    for split, truth in truths.items():
        members = below(in_tar(files[f"ILSVRC2010_images_{split}.tar"]), split)
        assert min(members) == f"ILSVRC2010_{split}_00000001.JPEG"
        found += flat(members, split, devkit_wnids(devkit, "devkit-1.0", 2010, truth))
    patch = {Path(name).name: data for name, data in in_tar(files["patch_images.tar"]).items()}
    assert sum(picture.data[:2] == b"\x1f\x8b" for picture in found) == 1
    assert sorted(patch) == sorted(chosen[at].file for at in (0, len(of_split(chosen, "train"))))
    assert all(picture.data != patch[picture.file] for picture in found if picture.file in patch)
    whole = []
    for picture in found:
        data = gzip.decompress(picture.data) if picture.data[:2] == b"\x1f\x8b" else picture.data
        whole.append(Picture(picture.split, picture.wnid, picture.file, patch.get(picture.file, data)))
    assert same(whole, list(chosen))
    meta = loadmat(io.BytesIO(devkit["devkit-1.0/data/meta.mat"]), squeeze_me=True)
    assert meta["cost_matrix"].shape == (12, 12)
    assert meta["synsets"].dtype.names == (
        "ILSVRC2010_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    )


def kaggle_pictures(files: dict[str, bytes]) -> list[Picture]:
    """The pictures of Kaggle's tree, val by its CSV."""
    data = "ILSVRC/Data/CLS-LOC"
    found = in_class_folders({name.removeprefix(f"{data}/"): image for name, image in files.items() if data in name})
    rows = list(csv.DictReader(files["LOC_val_solution.csv"].decode().splitlines()))
    wnids = {f"{row['ImageId']}.JPEG": row["PredictionString"].split()[0] for row in rows}
    assert {len(row["PredictionString"].split()) for row in rows} == {5, 10}
    test = below(files, f"{data}/test")
    return found + flat(below(files, f"{data}/val"), "val", wnids) + flat(test, "test", dict.fromkeys(test, ""))


def test_kaggle_folder(pictures, tmp_path) -> None:
    """All three splits come back, and the tables and annotations lie beside them."""
    files = files_below(layouts.kaggle_folder(tmp_path, pictures))
    assert same(kaggle_pictures(files), list(pictures))
    mapping = [line.partition(" ")[::2] for line in files["LOC_synset_mapping.txt"].decode().splitlines()]
    assert [wnid for wnid, _ in mapping] == wnids_of(pictures)
    assert mapping[0][1] == "tench, Tinca tinca"
    val = of_split(pictures, "val")
    for picture in val:
        assert f"ILSVRC/Annotations/CLS-LOC/val/{picture.file.removesuffix('.JPEG')}.xml" in files
    sets = {Path(name).name: len(data.splitlines()) for name, data in files.items() if "ImageSets" in name}
    assert sets == {"train_cls.txt": 36, "train_loc.txt": 18, "val.txt": 24, "test.txt": 4}
    assert len(files["LOC_train_solution.csv"].splitlines()) == 19
    assert "LOC_sample_submission.csv" in files


@pytest.mark.parametrize("deflated", [False, True])
def test_kaggle_zip(pictures, tmp_path, deflated) -> None:
    """The zip holds the same files, stored or deflated."""
    path = layouts.kaggle_zip(tmp_path / "zip", pictures, deflated)
    assert in_zip(path) == files_below(layouts.kaggle_folder(tmp_path / "folder", pictures))
    with zipfile.ZipFile(path) as archive:
        kinds = {entry.compress_type for entry in archive.infolist()}
    assert kinds == {zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED}


def test_kaggle_zip_of_tar_gz(pictures, tmp_path) -> None:
    """The zip and the archive in it hold the same files."""
    files = in_zip(layouts.kaggle_zip_of_tar_gz(tmp_path / "zip", pictures))
    inner = in_tar(files.pop("imagenet_object_localization_patched2019.tar.gz"))
    assert files | inner == files_below(layouts.kaggle_folder(tmp_path / "folder", pictures))


def test_tiny_imagenet(pictures, tmp_path) -> None:
    """All three splits come back, val by its annotations; wnids.txt is unsorted, words.txt has more synsets."""
    files = files_below(layouts.tiny_imagenet(tmp_path, pictures))
    found = []
    for name, data in files.items():
        parts = name.split("/")
        if parts[0] == "train" and parts[2] == "images":
            found.append(Picture("train", parts[1], parts[3], data))
    rows = list(csv.reader(files["val/val_annotations.txt"].decode().splitlines(), delimiter="\t"))
    assert {len(row) for row in rows} == {6}
    found += flat(below(files, "val/images"), "val", {row[0]: row[1] for row in rows})
    test = below(files, "test/images")
    assert same(found + flat(test, "test", dict.fromkeys(test, "")), list(pictures))
    wnids = files["wnids.txt"].decode().split()
    assert wnids != sorted(wnids) == wnids_of(pictures)
    assert {line.split("\t")[0] for line in files["words.txt"].decode().splitlines()} > set(wnids)
    for wnid in wnids:
        boxes = [line.split("\t") for line in files[f"train/{wnid}/{wnid}_boxes.txt"].decode().splitlines()]
        assert {row[0] for row in boxes} == {picture.file for picture in found if picture.wnid == wnid} - set(
            below(files, "val/images")
        )


@pytest.mark.parametrize(
    ("form", "image", "label"),
    [("imagenet", "image", "label"), ("columns", "img", "fine_label"), ("nameless", "image", "label")],
)
def test_parquet(pictures, tmp_path, form, image, label) -> None:
    """Bytes, paths and labels come back from several row groups a file, in the writer's columns."""
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    paths = sorted((layouts.parquet(tmp_path, pictures, form) / "data").glob("*.parquet"))
    assert [path.name for path in paths] == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "validation-00000-of-00001.parquet",
    ]
    wnids, found = wnids_of(pictures), defaultdict(list)
    for path in paths:
        with pq.ParquetFile(path) as file:
            rows, metadata, groups = file.read().to_pylist(), file.schema_arrow.metadata, file.metadata
        for row in rows:
            wnid = wnids[row[label]] if row[label] >= 0 else ""
            found[SPLITS[path.name.split("-")[0]]].append((wnid, row[image]["path"], row[image]["bytes"]))
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        assert groups.num_row_groups > 1 or "test" in path.name
        assert groups.row_group(0).column(0).compression == "SNAPPY"
        if form == "nameless":
            assert features["label"] == {"dtype": "int64", "_type": "Value"}
        else:
            assert features[label]["names"] == [layouts.words(wnid) for wnid in wnids]
    for split, rows in found.items():
        chosen = of_split(pictures, split)
        assert rows == [(p.wnid, None if form == "columns" else hf_name(p), p.data) for p in chosen]


def test_names_of_the_hugging_face_repository(pictures) -> None:
    """They end in the class where that is known."""
    assert hf_name(Picture("train", "n01440764", "n01440764_18.JPEG", b"")) == "n01440764_18_n01440764.JPEG"
    assert hf_name(pictures[36]) == f"ILSVRC2012_val_00000001_{pictures[36].wnid}.JPEG"
    assert hf_name(pictures[-1]) == "ILSVRC2012_test_00000004.JPEG"


def in_hf_folder(files: dict[str, bytes], split: str) -> list[Picture]:
    """The pictures of a flat folder whose names end in the class, except in test."""
    found = []
    for name, data in files.items():
        file, _, wnid = name.removesuffix(".JPEG").rpartition("_") if split != "test" else (name[:-5], "", "")
        found.append(Picture(split, wnid, f"{file}.JPEG", data))
    return found


def test_hf_files_and_archives(pictures, tmp_path) -> None:
    """The flat folders and the archives hold the same pictures, under the same names."""
    files = files_below(layouts.hf_files(tmp_path / "files", pictures))
    archives = files_below(layouts.hf_archives(tmp_path / "archives", pictures))
    assert sorted(archives) == [
        "test_images.tar.gz",
        "train_images_0.tar.gz",
        "train_images_1.tar.gz",
        "val_images.tar.gz",
    ]
    found, packed = [], []
    for split in ("train", "val", "test"):
        found += in_hf_folder(below(files, f"{split}_images"), split)
        for name in archives:
            packed += in_hf_folder(in_tar(archives[name]), split) if name.startswith(split) else []
    assert same(found, list(pictures))
    assert same(packed, list(pictures))


@pytest.mark.parametrize("with_json", [True, False])
def test_webdataset(pictures, tmp_path, with_json) -> None:
    """Samples have a picture, an unpadded label and their JSON; `_info.json` counts them."""
    files = files_below(layouts.webdataset(tmp_path, pictures, with_json))
    splits = json.loads(files["_info.json"])["splits"]
    wnids, found = wnids_of(pictures), []
    assert splits["train"]["filenames"] == ["imagenet1k-train-0000.tar", "imagenet1k-train-0001.tar"]
    assert splits["validation"]["filenames"] == ["imagenet1k-validation-00.tar"]
    for split, about in splits.items():
        for name, length in zip(about["filenames"], about["shard_lengths"], strict=True):
            members, samples = in_tar(files[name]), defaultdict(dict)
            for member, data in members.items():
                samples[member.split(".")[0]][member.split(".")[1]] = data
            assert len(samples) == length
            assert {tuple(sample) for sample in samples.values()} == {("cls", "jpg", "json")[: 2 + with_json]}
            for key, sample in samples.items():
                label = int(sample["cls"])
                assert sample["cls"] == str(label).encode()
                found.append(Picture(SPLITS[split], wnids[label], f"{key}.JPEG", sample["jpg"]))
                if with_json:
                    parsed = json.loads(sample["json"])
                    assert parsed["label"] == label
                    assert parsed["filename"] == f"{wnids[label]}/{key}.JPEG"
                    assert min(parsed["width"], parsed["height"]) >= 64
        assert about["num_samples"] == sum(about["shard_lengths"])
    assert same(found, labelled(pictures))


def fields(data: bytes) -> list[tuple[int, object]]:
    """Number and value of each field of a message, read without a description of it."""
    from google.protobuf import empty_pb2, unknown_fields

    return [(f.field_number, f.data) for f in unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(data))]


def records(data: bytes) -> list[bytes]:
    """The records of a TFRecord file, whose checksums hold."""
    crc32c = pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")

    def masked(part: bytes) -> int:
        crc = crc32c.value(part)
        return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32

    found, at = [], 0
    while at < len(data):
        length, length_crc = struct.unpack_from("<QI", data, at)
        record = data[at + 12 : at + 12 + length]
        assert length_crc == masked(data[at : at + 8])
        assert struct.unpack_from("<I", data, at + 12 + length) == (masked(record),)
        found.append(record)
        at += 16 + length
    return found


def test_tfrecord(pictures, tmp_path) -> None:
    """Image, label and file name of every example come back, and the files beside describe them."""
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    files = files_below(layouts.tfrecord(tmp_path, pictures))
    wnids, found = files["label.labels.txt"].decode().split(), []
    for name in sorted(name for name in files if "tfrecord" in name):
        split = SPLITS[name.removeprefix("imagenet2012-").partition(".")[0]]
        for record in records(files[name]):
            [(_, features)] = fields(record)
            example = {}
            for _, entry in fields(features):
                (_, key), (_, feature) = fields(entry)
                [(kind, values)] = fields(feature)
                [(_, example[key])] = fields(values)
                assert kind == (3 if key == b"label" else 1)
            label = int.from_bytes(example[b"label"], "little") if len(example[b"label"]) == 1 else -1
            wnid = wnids[label] if label >= 0 else ""
            found.append(Picture(split, wnid, example[b"file_name"].decode(), example[b"image"]))
    assert same(found, list(pictures))
    assert wnids == wnids_of(pictures)
    assert "imagenet2012-train.tfrecord-00001-of-00002" in files
    assert "imagenet2012-validation.tfrecord-00000-of-00001" in files
    splits = {split["name"]: split["shardLengths"] for split in json.loads(files["dataset_info.json"])["splits"]}
    assert splits == {"train": ["18", "18"], "validation": ["24"], "test": ["4"]}
    features = json.loads(files["features.json"])["featuresDict"]["features"]
    assert sorted(features) == ["file_name", "image", "label"]
    assert features["label"]["classLabel"] == {"numClasses": "12"}


def test_plain_archives(pictures, tmp_path) -> None:
    """One tar or zip holds the files of another layout below one folder, and nothing is left beside it."""
    plain = {
        f"imagenet/{name}": data for name, data in files_below(layouts.class_folders(tmp_path / "f", pictures)).items()
    }
    for name, writer in (("tar", layouts.plain_tar), ("gz", layouts.plain_tar_gz)):
        assert in_tar(writer(tmp_path / name, pictures).read_bytes()) == plain
    for deflated in (False, True):
        path = layouts.plain_zip(tmp_path / f"zip {deflated}", pictures, deflated)
        files = in_zip(path)
        assert files.pop("__MACOSX/._imagenet")
        assert files == plain
        with zipfile.ZipFile(path) as archive:
            assert {entry.compress_type for entry in archive.infolist() if not entry.is_dir()} == {8 * deflated}
    assert [path.name for path in (tmp_path / "tar").iterdir()] == ["imagenet.tar"]


def test_plain_tar_of_another_layout(pictures, tmp_path) -> None:
    """Kaggle's tree in one tar is Kaggle's tree."""
    files = in_tar(layouts.plain_tar(tmp_path, pictures, layouts.kaggle_folder).read_bytes())
    assert same(kaggle_pictures({name.removeprefix("imagenet/"): d for name, d in files.items()}), list(pictures))


def test_imagenet_r(pictures, tmp_path) -> None:
    """Half of the classes come back, beside a text file."""
    files = files_below(layouts.imagenet_r(tmp_path, pictures))
    kept = set(wnids_of(pictures)[1::2])
    found = in_class_folders({f"val/{name}": data for name, data in files.items()})
    assert same(found, [picture for picture in of_split(pictures, "val") if picture.wnid in kept])
    assert files["README.txt"].startswith(b"n01751748 sea snake\n")

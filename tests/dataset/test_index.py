"""DALI's index, written and read; those of wids and timm."""

import json

import pytest

from alexnet_pipeline.dataset.index import dali_index, read_dali_index, timm_index, timm_split, wids_index
from alexnet_pipeline.dataset.manifest import FileRecord, ShardRecord

SAMPLES = [
    [
        ("cls", 512, 4, f"k{n}.cls"),
        ("jpg", 1536, 70 + n, f"k{n}.jpg"),
        ("json", 2560, 9, f"k{n}.json"),
    ]
    for n in range(3)
]


def test_what_is_written_is_read() -> None:
    """Keys and places of every member."""
    index = read_dali_index(dali_index(SAMPLES))
    assert index.keys == ["k0", "k1", "k2"]
    assert index.spans["jpg"].tolist() == [[1536, 70], [1536, 71], [1536, 72]]
    assert set(index.spans) == {"cls", "jpg", "json"}


@pytest.mark.parametrize("change", [("v1.2 3", "v1.2 2"), ("v1.2", "v1.1"), (" 70 ", " "), ("jpg 1536 70", "jpg x 70")])
def test_what_is_no_index_is_refused(change) -> None:
    """A wrong count would make DALI leave samples out without a word."""
    data = dali_index(SAMPLES).replace(change[0].encode(), change[1].encode(), 1)
    with pytest.raises(ValueError):
        read_dali_index(data)


def test_other_tools_indexes_leave_empty_shards_out() -> None:
    """And hold what the manifest says."""
    full = ShardRecord(0, FileRecord("b.tar", 10, "s"), FileRecord("b.idx", 1, "s"), "md", 3, "k0", ())
    empty = ShardRecord(1, None, None, "", 0, "", ())
    wids = json.loads(wids_index("name", [full, empty]))
    assert wids["shardlist"] == [{"url": "b.tar", "md5sum": "md", "nsamples": 3, "filesize": 10}]
    timm = json.loads(timm_index({"val": timm_split("name", [full, empty])}))
    assert timm["splits"]["val"] == {"name": "name", "num_samples": 3, "filenames": ["b.tar"], "shard_lengths": [3]}


def test_timm_names_files_from_the_folder_of_its_index() -> None:
    """It joins the root and the file name, so a folder above the shards needs theirs in front."""
    shard = ShardRecord(0, FileRecord("b.tar", 10, "s"), FileRecord("b.idx", 1, "s"), "md", 3, "k0", ())
    assert timm_split("name", [shard], "val/")["filenames"] == ["val/b.tar"]

"""Objects are read in ranges, listed, and put at most once with other content."""

import errno

import pytest

from alexnet_pipeline.errors import OtherContentError, PipelineError, RefusedError
from alexnet_pipeline.storage import reading, writing
from alexnet_pipeline.storage.objects import _reason
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import MissingBucketError

NAME = "a/b c/\u00e9%20x.bin"


def test_urls_are_taken_apart() -> None:
    assert str(RemotePath.of_url("s3://bucket//a/b/")) == "s3://bucket/a/b"
    assert str(RemotePath.of_url("s3:/bucket/a")) == "s3://bucket/a"  # as `Path` leaves it
    place = RemotePath.of_url("gs://bucket/a/b")
    assert (place.name, str(place.parent), str(place.parent.parent.parent)) == ("b", "gs://bucket/a", "gs://bucket")
    assert (place / "c").is_relative_to(place)
    assert not RemotePath("gs://bucket", "a/bc").is_relative_to(place)
    assert (place / "c").relative_to(place.parent) == "b/c"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("foo://x/y", "foo:// is not supported"),
        ("file:///etc/passwd", "file:// is not supported"),
        ("s3://", "names no bucket"),
        ("s3://key:secret@bucket/a", "environment variables"),
        ("s3://bucket/a?X-Amz-Signature=secret", "environment variables"),
        ("s3://bucket/../a", "holds . or .."),
    ],
)
def test_other_urls_are_refused_without_their_secrets(url: str, words: str) -> None:
    with pytest.raises(RefusedError) as found:
        locate(url)
    assert words in str(found.value)
    assert "secret" not in str(found.value)


def test_what_is_put_is_read(bucket: RemotePath) -> None:
    """With names of every kind, in ranges, in blocks, and as a stream."""
    place, data = bucket / NAME, bytes(range(256)) * 40_000
    place.put(data, create=True)
    status = reading.status_of(place)
    assert status.size_bytes == len(data)
    assert place.read(1000, 10) == (data[1000:1010], status)
    assert place.read(len(data) - 5, 10)[0] == data[-5:]
    assert reading.read_whole(place) == data
    with reading.opened(place) as file:
        for offset, size in ((0, 10), (9_000_000, 2_000_000), (4 << 20, 1), (len(data), 5), (4_194_000, 1000)):
            assert file.pread(size, offset) == data[offset : offset + size]
    with reading.open_stream(place) as (stream, version):
        assert version == status.version
        stream.seek(-7, 2)
        assert stream.read() == data[-7:]
    assert b"".join(reading.blocks_of(place)) == data


def test_folders_are_listed(bucket: RemotePath) -> None:
    for name in ("x/a", "x/b/c", "x/b/d", "xy/e"):
        (bucket / name).put(b"1", create=True)
    assert reading.names_in(bucket / "x") == (("b",), ("a",))
    assert reading.names_in(bucket) == (("x", "xy"), ())
    assert [name for name, _ in (bucket / "x").walk()] == ["a", "b/c", "b/d"]
    assert reading.names_in(bucket / "none") == ((), ())


def test_what_is_there_is_not_written_over(bucket: RemotePath) -> None:
    """By whoever creates it; the same content is as good."""
    place = bucket / "a"
    writing.create(place, b"one")
    writing.create(place, b"one")
    with pytest.raises(OtherContentError):
        writing.create(place, b"two")
    with writing.part_of(place) as part:
        part.write(b"o")
        part.write(b"ne")
        part.commit()
    with writing.part_of(place) as part, pytest.raises(PipelineError, match="is there with other content"):
        part.write(b"two")
        part.commit()
    assert reading.read_whole(place) == b"one"
    writing.write_whole(place, b"two")
    assert reading.read_whole(place) == b"two"
    writing.delete(place)
    writing.delete(place)
    assert not reading.exists(place)


def test_an_object_that_is_not_committed_does_not_appear(bucket: RemotePath) -> None:
    with writing.part_of(bucket / "a") as part:
        part.write(b"1")
    assert not reading.exists(bucket / "a")


def test_a_change_is_another_version(bucket: RemotePath) -> None:
    """And is met while the object is read."""
    place = bucket / "a"
    place.put(bytes(9 << 20), create=True)
    before = reading.status_of(place).version
    with reading.opened(place) as file:
        place.put(b"\1" * (9 << 20), create=False)
        with pytest.raises(OSError, match="it changed while it was read"):
            file.pread(10, 0)
    assert reading.status_of(place).version != before


def test_what_is_missing_is_named(bucket: RemotePath) -> None:
    with pytest.raises(FileNotFoundError, match="no such object"):
        reading.read_whole(bucket / "none")
    nowhere = RemotePath("s3://nobody-has-this", "a")
    for ask in (nowhere.exists, nowhere.status, nowhere.names, nowhere.delete, lambda: nowhere.read(0, 9)):
        with pytest.raises(MissingBucketError, match="no such bucket"):
            ask()
    with pytest.raises(MissingBucketError):
        list(nowhere.walk())
    with pytest.raises(MissingBucketError):
        nowhere.put(b"1", create=True)
    with pytest.raises(OSError, match="expected at most 2") as found:
        place = bucket / "large"
        place.put(b"123", create=True)
        reading.read_whole(place, 2)
    assert found.value.errno == errno.EFBIG


def test_without_obstore_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(RefusedError, match=r"pip install 'alexnet-pipeline\[cloud\]'"):
        RemotePath("s3://bucket", "a").status()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Generic S3 error: Error performing HEAD http://h/b?sig=1 in 5ms, after 3 retries, max_retries: 3, "
            "retry_timeout: 180s  - HTTP error: error sending request\n\nDebug source:\nGeneric {",
            "HTTP error: error sending request",
        ),
        (
            "Generic S3 error: Error performing GET http://h/x in 6.5ms - Server returned non-2xx status code: 416 "
            'Range Not Satisfiable: <?xml version="1.0"?>\n<Error><Code>InvalidRange</Code>',
            "InvalidRange: Server returned non-2xx status code: 416 Range Not Satisfiable",
        ),
    ],
)
def test_causes_are_short_and_hold_no_address(text: str, said: str) -> None:
    assert _reason(Exception(text)) == said

"""The server is started once for all tests of storage."""

from collections.abc import Iterator

import pytest

from alexnet_pipeline.storage.remote import RemotePath
from tests.storage import hub as hubs
from tests.storage import server


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """The port of an S3 server."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with server.running() as port:
        yield port


@pytest.fixture
def bucket(port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> RemotePath:
    """An empty bucket."""
    for name, value in server.variables(port).items():
        monkeypatch.setenv(name, value)
    return server.make_bucket(port, f"b{abs(hash(request.node.nodeid)) % (1 << 48)}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[hubs.Hub]:
    """A Hugging Face Hub that has no data set yet, and a token for it."""
    pytest.importorskip("huggingface_hub")
    with hubs.running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", hubs.TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield hub

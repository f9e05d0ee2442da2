"""What tests of storage share, beside the S3 server."""

from collections.abc import Iterator

import pytest

from tests.storage import hub as hubs


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[hubs.Hub]:
    """A Hugging Face Hub that has no data set yet, and a token for it."""
    pytest.importorskip("huggingface_hub")
    with hubs.running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", hubs.TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield hub

"""What tests of several rooms share: real data where it lies, and a small raw set."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.synthetic.sample import sample
from tests.storage import server

ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Take signals as on a terminal, also where the tests run in the background or under nohup, which ignore some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real images; tests that need it are skipped without it."""
    folder = Path(os.environ.get("ALEXNET_PIPELINE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder}; set ALEXNET_PIPELINE_DATA")
    return folder


@pytest.fixture(scope="session")
def raw_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, small, as class folders."""
    folder = tmp_path_factory.mktemp("raw") / "folders"
    sample(folder, train_images=60, val_images=20)
    return folder


@pytest.fixture(scope="session")
def raw_tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures as ILSVRC2012's original files."""
    folder = tmp_path_factory.mktemp("raw") / "tars"
    sample(folder, train_images=60, val_images=20, layout="ilsvrc")
    return folder


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

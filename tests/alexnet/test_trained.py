"""A trained network on single photographs, as a file for others, and as the beginning of another run."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file

from alexnet_pipeline import export, load_network, open_shards, predict, shard
from alexnet_pipeline.alexnet import predict as of_sets
from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.run_folder import read_run, write_run
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Message
from tests.alexnet.made import run, weights

CPU = torch.device("cpu")


@pytest.mark.parametrize("encoding", ["jpg", "png", "raw"])
@pytest.mark.parametrize("crops", [1, 10])
def test_a_photo_is_seen_as_in_shards(raw_folders: Path, tmp_path: Path, encoding: str, crops: int) -> None:
    """Whatever their encoding: the network gets the very numbers that evaluation gives it."""
    how = {"methods": ["lanczos"], "size": 80, "encoding": encoding, "workers": 1, "progress": False}
    shard(raw_folders, tmp_path / "shards", geometry="squash", **how)
    shards = tmp_path / "shards" / "lanczos"
    run(shards, tmp_path / "run", steps=2, mean="image")
    network = load_network(tmp_path / "run")
    val = open_shards(shards / "val")
    loader = Loader(val, 20, train=False, crops=crops, crop_px=network.crop_px, mean=network.mean, threads=1)
    images, labels = next(iter(loader))
    expected = of_sets.predict([tmp_path / "run"], val, crops=crops, device="cpu").probabilities
    for number in (0, 7, 19):
        photo = raw_folders / "val" / val.read_record(number).name
        assert torch.equal(network.preprocess(photo, crops=crops), images[number].reshape(crops, 3, 70, 70))
        (found,) = predict(tmp_path / "run", [photo], crops=crops, top=100, device="cpu", progress=False)
        for each in found.classes:
            label = network.classes.index(each.name)
            assert each.probability == pytest.approx(float(expected[number, label]), rel=1e-4, abs=1e-6)
        assert val.manifest.classes[labels[number]] == photo.parent.name


def test_another_checkpoint_than_the_newest(raw_folders: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """On photos, and as a file; the best is that of the lowest error, and one that is not there is refused."""
    photo = next((raw_folders / "val").glob("*/*"))
    network = load_network(uninterrupted, checkpoint="48")
    assert (network.step, load_network(uninterrupted).step) == (48, 50)
    (found,) = predict(uninterrupted, [photo], checkpoint="48", top=1, device="cpu", progress=False)
    wanted = network(network.preprocess(photo)).softmax(1).max().item()
    assert found.classes[0].probability == pytest.approx(wanted, rel=1e-5)
    errors = {line.step: line.errors.top1_error for line in read_metrics(uninterrupted).validations}
    done = export(uninterrupted, tmp_path / "net.safetensors", checkpoint="best", progress=False)
    assert done.step == min(errors, key=errors.get)
    for call in (load_network, lambda run, checkpoint: export(run, tmp_path / "net.onnx", checkpoint=checkpoint)):
        with pytest.raises(RefusedError, match="found none of '7'"):
            call(uninterrupted, checkpoint="7")
    arguments = ["export", str(uninterrupted), "-o", str(tmp_path / "b.safetensors"), "--checkpoint", "48"]
    assert CliRunner().invoke(cli, arguments).stdout.endswith("step 48\n")


def test_any_form_of_a_photo(raw_folders: Path, uninterrupted: Path) -> None:
    """A path, its text, the file's bytes, and pixels."""
    photo = next((raw_folders / "val").glob("*/*"))
    network = load_network(str(uninterrupted))
    first = network.preprocess(photo)
    assert torch.equal(network.preprocess(str(photo)), first)
    assert torch.equal(network.preprocess(photo.read_bytes()), first)
    scores = network(torch.cat([first, first]))
    assert scores.shape == (2, len(network.classes))
    assert not network.training
    assert network.preprocess(np.zeros((300, 50, 3), np.uint8)).shape == first.shape


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(
    raw_folders: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """One line each, and exit code 1; what was found is printed."""
    photo, broken = next((raw_folders / "val").glob("*/*")), tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    arguments = ["predict", str(uninterrupted), str(broken), str(photo), str(tmp_path / "none.jpg"), "--top", "2"]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[0] == f"{photo}:"
    assert len(shown.stdout.splitlines()) == 3
    assert f"{broken}: " in shown.stderr
    assert "none.jpg: No such file" in shown.stderr
    assert "2 of 3 photos cannot be read" in shown.stderr
    folder = CliRunner().invoke(cli, ["predict", str(uninterrupted), str(tmp_path)])
    assert f"{tmp_path}: is a folder; name its files, like {tmp_path}/*.jpg" in folder.stderr
    found = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert [bool(each["error"]) for each in found] == [True, False, True]


@pytest.mark.parametrize("mean", ["image", "channel"])
@pytest.mark.parametrize("preset", ["paper", "source2012", "batchnorm", "modern"])
def test_onnx_gives_the_same_probabilities(shards: Path, tmp_path: Path, preset: str, mean: str) -> None:
    """Of real crops, by another runtime, for one image and for several; with classes and conversion in the file."""
    run(shards, tmp_path / "run", preset=preset, width=0.05, steps=1, mean=mean, schedule="steps")
    done = export(tmp_path / "run", tmp_path / "new" / "net.onnx", progress=False)
    network = load_network(tmp_path / "run")
    session = onnxruntime.InferenceSession(done.file)
    images, _ = next(iter(Loader(shards / "val", 7, train=False, crop_px=70, mean=np.zeros(3, np.float32))))
    subtracted = network.mean if network.mean.ndim == 3 else network.mean[None, None]
    for pixels in (images, images[:1]):
        (found,) = session.run(None, {"images": pixels.numpy()})
        wanted = network(pixels - torch.tensor(subtracted).movedim(-1, 0)).softmax(1)
        np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(about["classes"])) == network.classes
    assert json.loads(about["conversion"])["method"] == "area"


def test_safetensors_are_a_plain_state_dict(uninterrupted: Path, tmp_path: Path) -> None:
    """Of one stack with both towers, which loads as it is; and the mean."""
    export(uninterrupted, tmp_path / "net.safetensors", progress=False)
    state = load_file(tmp_path / "net.safetensors")
    network = load_network(uninterrupted)
    assert torch.equal(state.pop("mean"), torch.tensor(network.mean))
    model = AlexNet(network.network.options, Whole(CPU)).eval()
    model.stacks[0].load_state_dict(state)
    images = torch.randn(2, 3, 70, 70) * 50
    torch.testing.assert_close(model(images), network(images), rtol=0, atol=0)
    with safe_open(tmp_path / "net.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["step"]) == 50


def test_another_ending_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(RefusedError, match=r"net\.pt ends neither in \.onnx nor in \.safetensors"):
        export(uninterrupted, tmp_path / "net.pt")


def test_a_run_that_kept_too_little_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    """And says how that is mended."""
    write_run(tmp_path, dataclasses.replace(read_run(uninterrupted), conversion=None), np.zeros(3, np.float32))
    with pytest.raises(RefusedError, match="resume it once with `resume='auto'`"):
        load_network(tmp_path)
    with pytest.raises(RefusedError, match="holds no run"):
        load_network(tmp_path / "nothing")


@pytest.mark.parametrize("as_file", [False, True])
def test_fine_tuning_begins_with_the_weights_of_another_run(
    shards: Path, uninterrupted: Path, tmp_path: Path, as_file: bool
) -> None:
    """Of a run or of a file; a run that is resumed is not begun again, and does not need them any more."""
    source = uninterrupted
    if as_file:
        source = tmp_path / "net.safetensors"
        export(uninterrupted, source, progress=False)
    how = {"learning_rate": 1e-30, "seed": 5, "steps": 1}
    run(shards, tmp_path / "run", init_from=source, **how)
    first, own = weights(uninterrupted), weights(tmp_path / "run")
    for name, value in first.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(own[name], value)
    if as_file:
        source.unlink()
    before = read_run(tmp_path / "run").init_from
    assert before == str(source)
    run(shards, tmp_path / "run", resume="auto", **{**how, "steps": 2})
    assert read_run(tmp_path / "run").init_from == before


def test_other_classes_get_a_new_last_layer(raw_folders: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """All else is kept, and a line says so."""
    part = tmp_path / "raw"
    for folder in sorted((raw_folders / "train").iterdir())[:3]:
        (part / folder.name).mkdir(parents=True)
        for image in folder.iterdir():
            (part / folder.name / image.name).write_bytes(image.read_bytes())
    shard(part, tmp_path / "shards", methods=["area"], size=80, workers=1, progress=False)
    said = []
    how = {"learning_rate": 1e-30, "steps": 1, "progress": said.append, "batch_size": 4}
    run(tmp_path / "shards" / "area" / "train", tmp_path / "run", init_from=uninterrupted, **how)
    own, first = weights(tmp_path / "run"), weights(uninterrupted)
    assert own["fc8.weight"].shape[0] == 4
    torch.testing.assert_close(own["fc7.weight"], first["fc7.weight"])
    lines = [event.text for event in said if isinstance(event, Message)]
    assert any("are others, so the last layer begins anew" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"width": 0.1}, "width 0.05, here 0.1"), ({"norm": "lrn"}, "norm batch, here lrn")],
)
def test_weights_of_another_network_are_refused(
    shards: Path, uninterrupted: Path, tmp_path: Path, change: dict, words: str
) -> None:
    """With what differs, before the run's folder gets a checkpoint."""
    with pytest.raises(RefusedError, match=words):
        run(shards, tmp_path, init_from=uninterrupted, steps=1, **change)
    assert not (tmp_path / "checkpoints").exists()
    with pytest.raises(RefusedError, match="no checkpoint"):
        run(shards, tmp_path, init_from=tmp_path / "nothing", steps=1)

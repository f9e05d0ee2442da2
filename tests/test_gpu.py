"""A GPU gives the CPU's batches and the CPU's network, also with two stacks on one device; skipped without one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alexnet_pipeline import bench, evaluate, shard, train
from alexnet_pipeline.alexnet.exchange import Local, Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.open import ShardSet, open_shards

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")
SIDE, CROP = 80, 70
SMALL = NetworkOptions(classes=10, width=0.1, crop_px=67, dropout=0.0)


@pytest.fixture(scope="module", params=["jpg", "raw"])
def data(request: pytest.FixtureRequest, raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("shards")
    how = {"methods": ["area"], "size": SIDE, "encoding": request.param, "shard_size": 20, "workers": 1}
    shard(raw_folders, out, progress=False, **how)
    return open_shards(out / "area" / "train")


@pytest.mark.parametrize("layout", [False, True], ids=["nchw", "nhwc"])
def test_the_gpu_gives_the_cpus_batches(data: ShardSet, layout: bool) -> None:
    """Raw ones exactly; JPEG ones within what the GPU's decoder may round differently."""
    raw = data.manifest.options.encoding == "raw"
    loaders = [Loader(data, 16, crop_px=CROP, seed=2, channels_last=layout, device=d) for d in ("cpu", "cuda:0")]
    for (images, labels), (on_gpu, gpu_labels) in zip(*loaders, strict=True):
        assert on_gpu.device.type == "cuda"
        torch.testing.assert_close(gpu_labels.cpu(), labels)
        difference = (on_gpu.cpu() - images).abs()
        assert float(difference.mean()) < (1e-4 if raw else 2.0)


def test_a_decoder_on_the_cpu_gives_the_cpus_pixels(data: ShardSet) -> None:
    """Exactly; the GPU's own, with the same upsampling of chroma, within a level."""
    cpu, same, own = (
        Loader(data, 16, crop_px=CROP, seed=2, device=device, decode=decode)
        for device, decode in (("cpu", "auto"), ("cuda:0", "cpu"), ("cuda:0", "gpu"))
    )
    for (images, _), (copied, _), (decoded, _) in zip(cpu, same, own, strict=True):
        torch.testing.assert_close(copied.cpu(), images, rtol=0, atol=0)
        assert float((decoded.cpu() - images).abs().max()) <= 1.01


def test_a_buffer_is_not_written_before_it_is_copied(data: ShardSet) -> None:
    """Though copies are late, and the host is far ahead of the device."""
    if data.manifest.options.encoding != "raw":
        pytest.skip("DALI has buffers of its own")
    wanted = [crops.pixels.clone() for crops in Loader(data, 4, crop_px=CROP).crops()]
    loader, found = Loader(data, 4, crop_px=CROP, device="cuda:0"), []
    for crops in loader.crops():
        found.append(crops.pixels)
        with torch.cuda.stream(loader._source._stream):
            torch.cuda._sleep(50_000_000)
    assert all(torch.equal(pixels.cpu(), expected) for pixels, expected in zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_batches(data: ShardSet, dtype: str) -> None:
    """Rounded, not wrong."""
    whole = next(iter(Loader(data, 16, crop_px=CROP, device="cuda:0")))[0]
    half = next(iter(Loader(data, 16, crop_px=CROP, device="cuda:0", dtype=dtype)))[0]
    assert half.dtype == getattr(torch, dtype)
    torch.testing.assert_close(half.float(), whole, atol=1.0, rtol=1e-2)


def test_the_network_is_the_cpus() -> None:
    """Forward and gradients in float64; two stacks on one device give the same."""
    states = AlexNet(SMALL, Whole(torch.device("cpu"))).double()
    weights = {name: parts[0].clone() for name, parts in states.local_state().items()}
    images, results = torch.randn(4, 3, 67, 67, dtype=torch.float64), []
    gpu = torch.device("cuda:0")
    for exchange in (Whole(torch.device("cpu")), Whole(gpu), Local((gpu, gpu))):
        model = AlexNet(SMALL, exchange).double()
        model.load_grouped(weights)
        scores = model(images.to(exchange.devices[0]))
        scores.square().sum().backward()
        gradient = next(p.grad for name, p in model.named_parameters() if name.endswith("conv1.weight"))
        results.append((scores.detach().cpu(), gradient.cpu()[:4]))
    for scores, gradient in results[1:]:
        torch.testing.assert_close(scores, results[0][0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("towers", ["one", "local"])
def test_training_on_the_gpu(data: ShardSet, tmp_path: Path, towers: str) -> None:
    """Steps in bf16, resumed, evaluated; torch's generators are left as they were."""
    options = {"preset": "quarter", "width": 0.1, "batch_size": 16, "device": "cuda", "towers": towers, "epochs": 4}
    options |= {"steps": 4, "progress": False}
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    train(data.folder, run_dir=tmp_path, **options)
    done = train(data.folder, run_dir=tmp_path, resume="auto", **options)
    assert (done.steps, done.images) == (4, 59)
    assert evaluate(tmp_path, shards=data.folder, device="cuda", progress=False).errors.total_images == 59
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


def test_benchmarks_run_on_the_gpu(data: ShardSet) -> None:
    """Both, and say where."""
    assert bench("load", data.folder, images=50, batch_size=16, device="cuda").what.endswith("on cuda:0")
    tiny = {"preset": "quarter", "batch_size": 4, "steps": 2, "classes": 5}
    assert bench("train", device="cuda", **tiny).what.endswith("bf16 on cuda:0")


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_micro_batches_add_up_under_cuda_graphs(data: ShardSet, tmp_path: Path) -> None:
    """A graph reuses its memory for the next part, which neither scores nor gradients of the last one may lie in."""
    if data.manifest.options.encoding != "raw":
        pytest.skip("batches are the same")
    common = {"preset": "quarter", "norm": "lrn", "batch_size": 20, "steps": 5, "learning_rate": 1e-4, "val": "none"}
    found = {}
    for name, parts, compiled in (("whole", 1, False), ("parts", 4, False), ("graphs", 4, True)):
        how = {**common, "grad_accum_steps": parts, "compile": compiled, "precision": "fp32"}
        done = train(data.folder, run_dir=tmp_path / name, progress=False, **how)
        found[name] = load_file(Path(done.checkpoint) / "weights.safetensors"), done.loss
    for weights, loss in (found["parts"], found["graphs"]):
        assert loss == pytest.approx(found["whole"][1], rel=1e-4)
        for name, value in weights.items():
            torch.testing.assert_close(value, found["whole"][0][name], rtol=0, atol=5e-6, msg=name)

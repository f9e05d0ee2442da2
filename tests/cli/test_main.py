"""The command line as a user meets it: results on stdout, one line for what is wrong, exit codes."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from alexnet_pipeline.cli.main import cli


def run(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def test_a_run_from_end_to_end(raw_tars, tmp_path) -> None:
    """shard, verify, inspect: exit codes and output."""
    done = run("--json", "shard", raw_tars, tmp_path / "out", "--method", "lanczos", "--shard-size", 30)
    assert done.exit_code == 3, done.output
    train, val = json.loads(done.stdout)
    assert (train["images"], val["images"], train["rejects"][0]["reason"]) == (59, 20, "truncated")
    again = run(
        "shard",
        raw_tars,
        tmp_path / "out",
        "--method",
        "lanczos",
        "--shard-size",
        30,
        "--accept",
        "truncated",
    )
    assert again.exit_code == 0
    assert run("verify", tmp_path / "out", "--deep").exit_code == 0
    sheet = tmp_path / "sheet.png"
    seen = run("inspect", tmp_path / "out" / "lanczos" / "val", "--contact-sheet", sheet)
    assert seen.exit_code == 0
    assert "ILSVRC2012_val_" in seen.stdout
    assert sheet.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["shardd"], 2, "Did you mean 'shard'"),
        (["shard", "/nowhere", "/tmp/x"], 2, "found nothing"),
        (["verify", "/nowhere"], 2, "no shards"),
        (["inspect", "/nowhere"], 2, "no tar"),
        (["merge", "/nowhere"], 2, "nothing was begun"),
        (["shard", ".", "/tmp/x", "--method", "lanczo"], 2, "did you mean lanczos"),
        (["shard", ".", "/tmp/x", "--method", "lanczos", "--method", "lanczos"], 2, "named twice"),
        (["shard", ".", "/tmp/x", "--accept", "boredom"], 2, "expected one of"),
        (["shard", ".", "/tmp/x", "--shard-range", "5:5"], 2, "0:100"),
        (["shard", ".", "/tmp/x", "--quality", "101"], 2, "quality"),
        (["shard", ".", "/tmp/x", "--name", "../x"], 2, "name"),
        (["shard", ".", "/tmp/x", "--shard-size", "0"], 2, "at least 1"),
        (["shard", ".", "/tmp/x", "--method", "opencv:linear", "--linear-light"], 2, "gamma"),
        (["compare"], 2, "nothing to compare"),
        (["compare", "/nowhere"], 2, "found nothing"),
        (["compare", "/nowhere", "--shards", "a"], 2, "leave source"),
        (["compare", ".", "--scale", "1"], 2, "scale"),
        (["train", "/nowhere", "--run-dir", "/tmp/x"], 2, "/nowhere"),
        (["evaluate", "/nowhere", "--shards", "/nowhere"], 2, "/nowhere"),
        (["report", "/nowhere"], 2, "/nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, code, word) -> None:
    """With exit code 2, and no traceback."""
    done = run(*arguments)
    assert done.exit_code == code
    assert word in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_verbose_shows_the_traceback() -> None:
    """Only then."""
    assert "Traceback" in run("-v", "verify", "/nowhere").stderr


def test_dry_run_writes_nothing(raw_folders, tmp_path) -> None:
    """And says how many, how large, how long."""
    done = run("shard", raw_folders, tmp_path / "out", "--dry-run", "--method", "nearest")
    assert done.exit_code == 0
    for word in ("60 images", "about", "free"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("preset", ["cuda-convnet2", "torchvision"])
def test_presets(raw_folders, tmp_path, preset) -> None:
    """Each gives the other tool's method, and verifies."""
    done = run("--json", "shard", raw_folders, tmp_path, "--preset", preset, "--split", "val")
    assert done.exit_code == 0
    method = json.loads(done.stdout)[0]["method"]
    assert method == {"cuda-convnet2": "opencv:area+cubic", "torchvision": "bilinear-aa"}[preset]
    assert run("verify", tmp_path).exit_code == 0


def test_configuration_and_variables(raw_folders, tmp_path) -> None:
    """A file gives defaults, a variable wins over it, an option over both; typing errors are told."""
    config = tmp_path / "c.toml"
    config.write_text('[shard]\nmethods = ["nearest"]\nshard-size = 7\nsplit = ["val"]\n')
    done = run("--json", "--config", config, "shard", raw_folders, tmp_path / "a")
    assert (json.loads(done.stdout)[0]["method"], json.loads(done.stdout)[0]["shards"]) == ("nearest", 3)
    variables = {"ALEXNET_PIPELINE_SHARD_SHARD_SIZE": "10"}
    done = run("--json", "--config", config, "shard", raw_folders, tmp_path / "b", env=variables)
    assert json.loads(done.stdout)[0]["shards"] == 2
    config.write_text("[shard]\nshardsize = 7\n")
    done = run("--config", config, "shard", raw_folders, tmp_path / "c")
    assert done.exit_code == 2
    assert "shardsize" in done.stderr


def test_methods_and_doctor_and_json() -> None:
    """Lists for people and for programs."""
    assert "sinc(x) sinc(x/3)" in run("methods").stdout
    assert {"lanczos", "antialias", "pillow:lanczos"} <= {
        m["name"] for m in json.loads(run("--json", "methods").stdout)
    }
    assert {p["package"] for p in json.loads(run("--json", "doctor").stdout)} >= {
        "numba",
        "torch",
        "pillow-simd",
    }


def test_demo(tmp_path) -> None:
    """The newcomer's command, with a smaller sample."""
    folder = tmp_path / "demo"
    assert run("sample", folder / "raw", "--train-images", 20, "--val-images", 10).exit_code == 0
    done = run("demo", folder)
    assert done.exit_code == 0, done.output
    assert "verify: sound: 8 data sets" in done.stdout
    assert "nearest aliases most" in done.stdout
    for page in ("run.html", "comparison.html", "lanczos.png"):
        assert (folder / page).stat().st_size > 10_000


def test_compare(raw_folders, tmp_path) -> None:
    """Table and verdict on the screen, the same numbers as JSON, a report and a figure; shard sets, too."""
    report, figure = tmp_path / "r.html", tmp_path / "f.svg"
    common = ["compare", raw_folders, "--images", 6, "--methods", "nearest,lanczos", "--workers", 1, "-o", report]
    done = run(*common, "--figure", figure)
    assert done.exit_code == 0, done.output
    assert "nearest aliases most" in done.stdout
    assert "</html>" in report.read_text()
    assert figure.read_text().rstrip().endswith("</svg>")
    found = json.loads(run("--json", *common).stdout)
    assert [method["name"] for method in found["methods"]] == ["nearest", "lanczos"]
    assert len(found["pictures"]) == 6
    methods = ["--method", "nearest", "--method", "lanczos", "--split", "val"]
    assert run("shard", raw_folders, tmp_path / "out", *methods).exit_code == 0
    sets = [word for name in ("lanczos", "nearest") for word in ("--shards", tmp_path / "out" / name / "val")]
    done = run("compare", *sets, "-o", report)
    assert done.exit_code == 0, done.output
    assert "20 pictures" in done.stdout
    (tmp_path / "only").symlink_to(raw_folders / "train")
    done = run("compare", tmp_path / "only", "--train")
    assert done.exit_code == 2
    assert "needs the splits train and val" in done.stderr
    assert "data:image/png" in report.read_text()


def test_every_command_has_help_with_an_example() -> None:
    """As STYLE asks."""
    for name in cli.commands:
        assert "Example:" in run(name, "--help").stdout, name


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once."""
    code = "import sys; from alexnet_pipeline import cli; "
    code += "print([m for m in ('numba', 'numpy', 'cv2', 'rich', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_hostile_names_reach_no_terminal(tmp_path) -> None:
    """Control characters in names are printed as text."""
    folder = tmp_path / "raw" / "cat"
    folder.mkdir(parents=True)
    (folder / "\x1b[31mred.jpg").write_bytes(b"junk")
    done = run("shard", tmp_path / "raw", tmp_path / "out")
    assert done.exit_code == 3
    assert "\x1b" not in done.output
    assert "\\x1b[31mred.jpg" in done.stdout


def test_compare_with_training(raw_folders, tmp_path) -> None:
    """The shards are those that the options ask for, the report holds the finding, rejects give exit code 3."""
    from alexnet_pipeline.dataset.manifest import read_manifest

    report = tmp_path / "r.html"
    words = ["--methods", "nearest,area", "--size", 80, "--geometry", "squash", "--limit", 50, "--images", 4]
    words += ["--seeds", 1, "--steps", 1, "--workers", 1]
    done = run("compare", raw_folders, "--train", *words, "-o", report)
    assert done.exit_code == 3, done.output
    assert "One seed has no deviation" in done.stdout
    for split, images in (("train", 49), ("val", 20)):
        manifest = read_manifest(tmp_path / "r-training" / "shards" / "area" / split)
        assert (manifest.options.size_px, manifest.options.geometry) == (80, "squash")
        assert manifest.total_images == images
    page = report.read_text()
    assert "One seed has no deviation" in page
    assert "nvidia-dali-cuda130" in page
    again = run("compare", raw_folders, "--train", *words, "-o", report, "--accept", "truncated")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "3"], "--steps has no effect here"),
        (["--shards", "a", "--quality", "10"], "--quality has no effect here"),
        (["-o", "."], "is a folder"),
        (["-o", "nowhere/r.html"], "is no folder"),
    ],
)
def test_compare_refuses_before_it_works(raw_folders, words, told) -> None:
    """What would do nothing, and what could not be written in the end."""
    source = [] if "--shards" in words else [raw_folders]
    done = run("compare", *source, *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_configuration_reaches_every_option(tmp_path) -> None:
    """By its long name, in commands within commands too."""
    config = tmp_path / "c.toml"
    config.write_text('[compare]\nscale = [2.0]\n[bench.load]\nbatch-size = 7\n[shard]\nmethod = ["nearest"]\n')
    assert run("--config", config, "methods").exit_code == 0
    config.write_text("[bench.load]\nbatchsize = 7\n")
    done = run("--config", config, "methods")
    assert done.exit_code == 2
    assert "[bench.load] has no option 'batchsize'" in done.stderr

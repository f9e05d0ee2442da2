"""The command `compare` as a user meets it."""

import dataclasses
import io
import json
import sys

import pytest
from click.testing import CliRunner

from alexnet_pipeline.cli.compare import comparison_lines
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.comparison.records import Metric
from tests.comparison.page.made import comparison


def run(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


@pytest.fixture
def small(raw_folders, tmp_path):
    """A short comparison of two methods."""
    return ["compare", raw_folders, "--images", 6, "--workers", 1, "-o", tmp_path / "r.html"]


def test_it_prints_a_table_and_writes_a_report_and_a_figure(small, tmp_path):
    """The verdict and the table on stdout, the report's path on stderr."""
    done = run(*small, "--method", "nearest", "--method", "lanczos", "--figure", tmp_path / "f.svg")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("6 images, 0 rejected\n")
    heads, units = done.stdout.splitlines()[2:4]
    assert heads.split() == ["alias", "pass", "band", "PSNR", "shift", "error", "JPEG", "size", "resample"]
    assert units.split() == ["method", "(dB)", "(%)", "(dB)", "SSIM", "(levels)", "(kB)", "(ms)"]
    assert "* best mean of the column" in done.stdout
    assert "Use " in done.stdout
    assert "nearest aliases most (0.0 dB: nothing above Nyquist is removed)" in done.stdout
    assert f"report: {tmp_path / 'r.html'}" in done.stderr
    assert "</html>" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "f.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize(("width", "wide"), [(80, 14), (66, 14), (None, 40)])
def test_the_table_and_the_verdict_are_as_wide_as_the_terminal(monkeypatch, width, wide):
    """Every line fits, digits stay whole and below each other; without a terminal nothing is wrapped."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: width is not None)
    monkeypatch.setenv("COLUMNS", str(width))
    methods = ("nearest", "x" * wide, "area [red]")
    metrics = tuple(
        Metric(name, label, unit, "lower", "Defined.")
        for name, label, unit in [
            ("psnr_db", "PSNR", "dB"), ("ssim", "SSIM", ""), ("shift_error_levels", "shift error", "levels"),
            ("jpeg_bytes", "JPEG size", "bytes"), ("resample_ms", "resample", "ms"),
        ]
    )  # fmt: skip
    found = dataclasses.replace(comparison(methods, metrics=metrics), verdict=("Use one. " * 30, "Two."))
    lines = comparison_lines(found)
    rows = [line for line in lines if line.startswith(methods)]
    assert [row.split("  ")[0] for row in rows] == list(methods)
    assert len({len(row.rstrip("*")) for row in rows}) == 1
    assert all("30.00" in row or "31.00" in row or "32.00" in row for row in rows)
    if width:
        assert max(map(len, lines)) <= width
        assert sum("Use one." in line for line in lines) > 2
    else:
        assert found.verdict[0] in lines


@pytest.mark.parametrize(
    "methods",
    [
        ["--method", "nearest,lanczos"],
        ["--method", "nearest", "--method", "lanczos"],
        ["--methods", "nearest, lanczos"],
    ],
)
def test_methods_are_repeated_or_joined_by_commas(small, methods):
    """As in `shard`; --methods is another spelling."""
    found = json.loads(run("--json", *small, *methods).stdout)
    assert [method["name"] for method in found["methods"]] == ["nearest", "lanczos"]
    assert len(found["images"]) == 6
    assert found["quality"] == 95
    assert found["command"].startswith("alexnet-pipeline")


def test_the_report_lies_here_by_default(small, tmp_path, monkeypatch):
    """As comparison.html."""
    monkeypatch.chdir(tmp_path)
    assert run(*small[:-2], "--method", "nearest,area").exit_code == 0
    assert (tmp_path / "comparison.html").exists()


def test_finished_sets_are_compared(raw_folders, tmp_path):
    """Key by key, with photos in the report."""
    options = ["--method", "nearest,lanczos", "--split", "val", "--workers", 1]
    assert run("shard", raw_folders, tmp_path / "out", *options).exit_code == 0
    sets = [word for name in ("lanczos", "nearest") for word in ("--shards", tmp_path / "out" / name / "val")]
    done = run("compare", *sets, "--workers", 1, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    assert "20 images" in done.stdout
    assert "data:image/png" in (tmp_path / "r.html").read_text()


def test_options_come_from_a_file_and_from_variables(small, tmp_path):
    """A list or a text for methods; what has no effect there is left out, since the file serves other calls, too."""
    config = tmp_path / "c.toml"
    config.write_text('[compare]\nmethod = ["nearest", "area"]\nscale = [2.0]\nsteps = 3\n')
    found = json.loads(run("--json", "--config", config, *small).stdout)
    assert ([method["name"] for method in found["methods"]], found["scales"]) == (["nearest", "area"], [2.0])
    config.write_text('[compare]\nmethods = "nearest,area"\n')
    variables = {"ALEXNET_PIPELINE_COMPARE_SIZE": "64", "ALEXNET_PIPELINE_COMPARE_SEEDS": "9"}
    found = json.loads(run("--json", "--config", config, *small, env=variables).stdout)
    assert ([method["name"] for method in found["methods"]], found["size_px"]) == (["nearest", "area"], 64)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to compare"),
        (["/nowhere"], "/nowhere"),
        (["/nowhere", "--shards", "a"], "and --train out"),
        ([".", "--scale", "1"], "--scale"),
        ([".", "--size", "100000"], "--size"),
        ([".", "--geometry", "crop"], "--geometry"),
        ([".", "--steps", "3"], "--steps has no effect here: it belongs to --train"),
        (["--shards", "a", "--quality", "10"], "--quality has no effect here"),
        (["--shards", "a", "--method", "area"], "--method has no effect here"),
        ([".", "-o", "."], "is a folder"),
        ([".", "-o", "nowhere/r.html"], "is no folder"),
        ([".", "--accept", "boredom"], "--accept"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(words, told):
    """With flags for parameters, exit code 2 and no traceback, before anything is read."""
    done = run("compare", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.output


def test_help_shows_defaults():
    """Those of the command, too."""
    text = " ".join(run("compare", "--help").stdout.split()).replace("- ", "-")  # lines are wrapped at hyphens
    for words in (
        "--method, --methods NAME",
        "[default: nearest, bilinear, area, bilinear-aa, bicubic, lanczos, antialias]",
        "[default: 95]",
        "[default: comparison.html]",
        "[default: beside the report]",
        "Networks trained per method",
        "Number of images to sample. [default: 300]",
    ):
        assert words in text


def test_networks_are_trained_beside_the_report(raw_folders, tmp_path):
    """The report holds the finding; rejects give exit code 3 unless they are accepted."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    report = tmp_path / "r.html"
    words = ["--method", "nearest,area", "--size", 80, "--limit", 50, "--images", 4]
    words += ["--seeds", 1, "--steps", 1, "--workers", 1, "-o", report]
    done = run("compare", raw_folders, "--train", *words)
    assert done.exit_code == 3, done.output
    assert "One seed has no standard deviation" in done.stdout
    assert "network 2 of 2: area, seed 0" in done.stderr
    assert (tmp_path / "r-training" / "shards" / "area" / "val" / "manifest.json").exists()
    page = report.read_text()
    assert "One seed has no standard deviation" in page
    assert "nvidia-dali-cuda1" in page
    again = run("compare", raw_folders, "--train", *words, "--accept", "truncated")
    assert again.exit_code == 0, again.output


def test_signals_are_requests_only_while_networks_are_trained():
    """Before training asks, Ctrl-C ends the command at once; afterwards the handlers are the caller's again."""
    import signal

    from alexnet_pipeline.cli.compare import _stop_requests

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with _stop_requests() as stop:
        assert {number: signal.getsignal(number) for number in before} == before
        assert stop() == 0
        signal.raise_signal(signal.SIGTERM)
        assert stop() == signal.SIGTERM
    assert {number: signal.getsignal(number) for number in before} == before


def test_help_needs_nothing_heavy():
    """Options are declared without the engine."""
    import subprocess

    code = "import sys; from alexnet_pipeline.cli import compare; "
    code += "print([m for m in ('numba', 'numpy', 'cv2', 'scipy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

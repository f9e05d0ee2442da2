"""The command line as a user meets it: results on stdout, one line for what is wrong, exit codes."""

import importlib.metadata
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

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
    again = run("shard", raw_tars, tmp_path / "out", "--method", "lanczos", "--shard-size", 30, "--accept", "truncated")
    assert again.exit_code == 0
    assert "20 images in 1 shard, " in again.stdout
    done = run("verify", tmp_path / "out", "--deep")
    assert done.exit_code == 0
    assert done.stdout.startswith("verify: sound: 2 data sets, 3 shards, 79 images")
    sheet = tmp_path / "sheet.png"
    seen = run("inspect", tmp_path / "out" / "lanczos" / "val", "--contact-sheet", sheet)
    assert seen.exit_code == 0
    assert "ILSVRC2012_val_" in seen.stdout
    assert sheet.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shardd"], "did you mean 'shard'"),
        (["help", "shardd"], "did you mean 'shard'"),
        (["--bogus"], "no such option"),
        (["shard", "a", "b", "--sise", "64"], "no such option '--sise'; did you mean '--size'? See"),
        (["shard", "a"], "missing argument 'OUT'"),
        (["shard", "/nowhere", "/tmp/x"], "no such file or directory"),
        (["shard", __file__, "/tmp/x"], "is a file"),
        (["shard", "ftp://a/b", "/tmp/x"], "ftp:// is not supported"),
        (["shard", ".", "https://a/b"], "can only be read"),
        (["shard", ".", __file__], "a file is in its way"),
        (["verify", "/nowhere"], "no such file or directory"),
        (["inspect", "/nowhere"], "no such file or directory"),
        (["merge", "/nowhere"], "no run was started"),
        (["shard", ".", "/tmp/x", "--method", "lanczo"], "did you mean lanczos"),
        (
            ["shard", ".", "/tmp/x", "--method", "lanczos", "--method", "lanczos"],
            "--method: lanczos, lanczos lists a method twice",
        ),
        (["shard", ".", "/tmp/x", "--accept", "boredom"], "is not one of"),
        (["shard", ".", "/tmp/x", "--shard-range", "5:5"], "0:100"),
        (["shard", ".", "/tmp/x", "--quality", "101"], "--quality: 101"),
        (["shard", ".", "/tmp/x", "--size", "100000"], "at most 4,096"),
        (["shard", ".", "/tmp/x", "--seed", "10000000000000"], "--seed"),
        (["shard", ".", "/tmp/x", "--name", "../x"], "--name"),
        (["shard", ".", "/tmp/x", "--shard-size", "0"], "at least 1"),
        (["shard", ".", "/tmp/x", "--method", "opencv:linear", "--linear-light"], "leave --linear-light out"),
        (["shard", ".", "/tmp/x", "--restart", "--shard-range", "0:1"], "--restart with --shard-range"),
        (["help", "nothing"], "no command 'nothing'"),
        (["train", "/nowhere", "--run-dir", "/tmp/x"], "/nowhere"),
        (["train", "/nowhere", "--run-dir", "/tmp/x", "--lighting", "-1"], "--lighting"),
        (["train", "/nowhere", "--run-dir", "/tmp/x", "--learning-rate", "nan"], "--learning-rate"),
        (["train", "/nowhere", "--run-dir", "/tmp/x", "--timeout", "-1"], "--timeout"),
        (["evaluate", "/nowhere", "--shards", "/nowhere"], "/nowhere"),
        (["report", "/nowhere"], "/nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(raw_folders, monkeypatch, arguments, words) -> None:
    """With exit code 2, flags in place of parameters, and no traceback."""
    monkeypatch.chdir(raw_folders)
    done = run("-q", *arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_messages_of_the_library_name_parameters(raw_folders, tmp_path) -> None:
    """And the command line shows its flags for them, values included."""
    shard = ["shard", raw_folders, tmp_path, "--split", "val", "--size", 32]
    assert run(*shard).exit_code == 0
    done = run(*shard, "--quality", 80)
    assert done.exit_code == 2
    assert "quality: 95, now 80" in done.stderr
    assert "--restart would remove what is there" in done.stderr


def test_help_and_version() -> None:
    """`help COMMAND`, `--help`, `-h` and both names of the version."""
    assert run("help", "shard").stdout == run("shard", "--help").stdout == run("shard", "-h").stdout
    assert "images/s" in run("help", "bench", "load").stdout or "Load" in run("help", "bench", "load").stdout
    assert run("help").stdout.startswith("Usage")
    version = f"alexnet-pipeline {importlib.metadata.version('alexnet-pipeline')}\n"
    assert run("--version").stdout == run("-V").stdout == version


def test_dry_run_writes_nothing(raw_folders, tmp_path) -> None:
    """And says how many, how large, how long."""
    done = run("shard", raw_folders, tmp_path / "out", "--dry-run", "--method", "nearest")
    assert done.exit_code == 0
    for word in ("60 images, 1 shard", "about", "free"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("preset", ["cuda-convnet2", "torchvision"])
def test_presets(raw_folders, tmp_path, preset) -> None:
    """Each gives the other tool's method, which another option replaces; and verifies."""
    done = run("--json", "shard", raw_folders, tmp_path, "--preset", preset, "--split", "val", "--size", 48)
    assert done.exit_code == 0
    method = json.loads(done.stdout)[0]["method"]
    assert method == {"cuda-convnet2": "opencv:area+cubic", "torchvision": "bilinear-aa"}[preset]
    assert run("verify", tmp_path).exit_code == 0
    done = run("--json", "shard", raw_folders, tmp_path, "--preset", preset, "--method", "area", "--split", "val")
    assert json.loads(done.stdout)[0]["method"] == "area"


def test_methods_and_doctor_and_json() -> None:
    """Lists for people and for programs; the doctor names what the package depends on, and nothing else."""
    assert "sinc(x) sinc(x/3)" in run("methods").stdout
    assert {"lanczos", "antialias", "pillow:lanczos"} <= {
        m["name"] for m in json.loads(run("methods", "--json").stdout)
    }
    parts = {part["package"]: part["extra"] for part in json.loads(run("--json", "doctor").stdout)}
    core = {
        re.match(r"[\w-]+", line)[0]
        for line in importlib.metadata.requires("alexnet-pipeline")
        if "extra ==" not in line
    }
    assert {package for package, extra in parts.items() if not extra} == core


def test_demo(tmp_path, monkeypatch) -> None:
    """The newcomer's command, with a smaller sample and fewer steps; and again, with nothing left to do."""
    monkeypatch.setattr("alexnet_pipeline.cli.demo.DEMO_STEPS", 20)
    folder = tmp_path / "demo"
    assert run("sample", folder / "raw", "--train-images", 20, "--val-images", 10).exit_code == 0
    done = run("demo", folder)
    assert done.exit_code == 0, done.output
    assert "verify: sound: 8 data sets" in done.stdout
    assert "nearest aliases most" in done.stdout
    for page in ("run.html", "comparison.html", "lanczos.png"):
        assert (folder / page).stat().st_size > 10_000
    assert set(json.loads(run("demo", folder, "--json").stdout)) >= {"datasets", "training", "evaluation", "verdict"}


def test_without_a_command_the_help_is_printed_as_it_is() -> None:
    """It is what a newcomer types first."""
    for group in ([], ["bench"]):
        done = run(*group)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("Usage:")
        assert "\nCommands:\n" in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    """As the house asks."""
    for name in cli.commands:
        assert "Example:" in run(name, "--help").stdout, name


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once."""
    code = "import sys; from alexnet_pipeline.cli import main; "
    code += "print([m for m in ('numba', 'numpy', 'cv2', 'rich', 'torch', 'scipy') if m in sys.modules])"
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


def test_an_interrupted_run_says_how_far_it_came(raw_folders, tmp_path) -> None:
    """And what to do next, in one line; the same for SIGTERM."""
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(tmp_path)]
    command += ["--shard-size", "4", "--workers", "1"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    while len(list(tmp_path.glob("*/*/*.tar"))) < 2:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch(r"Interrupted: \d+ of 20 shards finished\. Run the same command to resume\.\n", text), text


def test_the_first_run_says_that_it_compiles(raw_folders, tmp_path) -> None:
    """In place of a bar that stands still; later runs need not."""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for out, words in (("a", True), ("b", False)):
        command = [sys.executable, "-m", "alexnet_pipeline", "shard", str(raw_folders), str(tmp_path / out)]
        command += ["--split", "val", "--size", "16"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        assert ("compiling kernels (first run only)" in done.stderr) is words


def test_a_terminal_shows_a_bar(raw_folders, tmp_path) -> None:
    """With counts of the whole, and results on stdout as ever."""
    command = [sys.executable, "-m", "alexnet_pipeline", "shard", str(raw_folders), str(tmp_path)]
    command += ["--split", "val", "--size", "16", "--shard-size", "5"]
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stderr=follower, stdout=subprocess.PIPE, text=True)
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 1 << 16)
        except OSError:
            break
        if not block:
            break
        shown += block
    os.close(leader)
    assert "20 images in 4 shards" in process.communicate()[0]
    assert b"20/20" in shown

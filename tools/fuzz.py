"""Read damaged and hostile files by every function that reads files of strangers, for as long as is asked.

    python tools/fuzz.py --seconds 120 [--seed N] [--surface "run folder"]

Each case may end in a result or in a `PipelineError` of one line. Anything else is a finding: another exception, a
crash, a case that takes more than 30 s or 1 GB beyond what is usual, a file opened outside the case's folder. A finding
is printed with the seed and the number that repeat it (`--only NUMBER`), and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

LIMIT_S = 30
LIMIT_BYTES = 1 << 30
# Cases that a process runs before a new one takes its place, so that memory and caches do not pile up.
CASES = 400
FINDING = 1
# What Python, its libraries and the machine's descriptions of itself may be read from in any case.
ALLOWED = ("/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/shm", "/etc/localtime", "/usr/lib", "/usr/share", "/lib")


def main() -> None:
    """Run cases in child processes until the time is over."""
    options = _options()
    if options.child:
        _child(options)
        return
    from fuzzing.surfaces import make_sound

    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound"
        make_sound(sound)
        print(f"seed {options.seed}", flush=True)
        sys.exit(_parent(options, scratch, sound))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--surface", default="", help="only this one")
    parser.add_argument("--only", type=int, default=-1, help="only the case of this number")
    for name in ("child", "scratch", "sound"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _parent(options: argparse.Namespace, scratch: str, sound: Path) -> int:
    """Start children one after the other; a child that dies costs the case that it was at."""
    deadline = time.monotonic() + options.seconds
    counts: Counter[str] = Counter()
    findings, first = 0, max(0, options.only)
    while time.monotonic() < deadline:
        log = Path(scratch) / "log"
        log.write_text("")
        command = [sys.executable, __file__, "--child", str(log), "--scratch", scratch, "--sound", str(sound)]
        command += ["--seed", str(options.seed), "--first", str(first), "--surface", options.surface]
        command += ["--only", str(options.only), "--seconds", str(deadline - time.monotonic())]
        code = subprocess.run(command, check=False).returncode
        lines = [line.split("\t") for line in log.read_text().splitlines()]
        counts.update(surface for _, surface in lines)
        if code:
            findings += 1
            number, surface = lines[-1] if lines else (str(first), "start")
            if code < 0:
                print(f"FINDING: case {number} ({surface}) died by signal {-code}", flush=True)
        first = int(lines[-1][0]) + 1 if lines else first + 1
        if options.only >= 0:
            break
    for surface, cases in sorted(counts.items()):
        print(f"{surface}: {cases:,} cases")
    print(f"{sum(counts.values()):,} cases, {findings:,} findings, seed {options.seed}")
    return FINDING if findings else 0


def _child(options: argparse.Namespace) -> None:
    """Run cases; the number of each is written before it begins."""
    from fuzzing.surfaces import SURFACES

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2) if not options.only >= 0 else None
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    chosen = [surface for surface in SURFACES if options.surface in {"", surface.name}]
    weights = [surface.weight for surface in chosen]
    _warm_up()
    guard = _Guard()
    sys.addaudithook(guard.audit)
    deadline = time.monotonic() + options.seconds
    with Path(options.child).open("a", buffering=1) as log:
        for number in range(options.first, options.first + CASES):
            if time.monotonic() > deadline:
                return
            draw = random.Random(f"{options.seed} {number}")
            surface = draw.choices(chosen, weights)[0]
            log.write(f"{number}\t{surface.name}\n")
            _case(surface, number, draw, options, guard)
            if options.only >= 0:
                return


def _warm_up() -> None:
    """Import what cases import, so that the first of them is not charged for it."""
    import torch  # noqa: F401

    import alexnet_pipeline

    for name in alexnet_pipeline.__all__:
        getattr(alexnet_pipeline, name)
    from alexnet_pipeline.shards import statistics

    statistics.prepare()


def _case(surface: Any, number: int, draw: random.Random, options: argparse.Namespace, guard: _Guard) -> None:
    from alexnet_pipeline.errors import PipelineError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = ""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        guard.begin(Path(folder), Path(options.sound))
        signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(LIMIT_S)
        try:
            surface.read(Path(options.sound), Path(folder), draw)
        except PipelineError as error:
            problem = f"a message of several lines: {error}" if "\n" in str(error) else ""
        except BaseException:  # noqa: BLE001 - every kind is a finding
            problem = traceback.format_exc()
        finally:
            signal.alarm(0)
            guard.end()
    problem = problem or guard.problem
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if used > LIMIT_BYTES:
        problem = problem or f"{used / 1e9:.1f} GB more memory"
    if problem:
        print(f"FINDING: case {number} ({surface.name}), seed {options.seed}\n{problem}", flush=True)
        sys.exit(FINDING)


def _too_slow(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {LIMIT_S} s")


class _Guard:
    """Notes files that are opened outside the folder of a case."""

    def __init__(self) -> None:
        places = [*ALLOWED, *sysconfig.get_paths().values(), *site.getsitepackages(), sys.prefix, sys.base_prefix]
        places += [str(Path(__file__).resolve().parents[1]), str(Path.home() / ".cache")]
        self._always = tuple({os.path.realpath(place) for place in places} | {*places})
        self._here: tuple[str, ...] = ()
        self.problem = ""

    def begin(self, *folders: Path) -> None:
        """Allow only these folders from now on."""
        self.problem, self._here = "", tuple(os.path.realpath(folder) for folder in folders)

    def end(self) -> None:
        """Allow everything again."""
        self._here = ()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook: names of files are told apart by their real paths."""
        if not self._here or event not in {"open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"}:
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        here, self._here = self._here, ()  # what follows must not be audited
        try:
            real = os.path.realpath(os.fsdecode(path))
            allowed = real.startswith((*here, *self._always)) or self._is_parent(real, here)
            # The report of a run opens the data set of its evaluation, wherever that is; no other file gives one.
            if not allowed and not real.endswith("/manifest.json"):
                self.problem = self.problem or f"{event} of {real}\n{''.join(traceback.format_stack(limit=8))}"
        except ValueError:  # a zero byte, which `open` refuses
            pass
        finally:
            self._here = here

    @staticmethod
    def _is_parent(real: str, here: tuple[str, ...]) -> bool:
        """Whether it is a folder above the case's, where labels are looked for."""
        return any(folder.startswith(real) for folder in here)


if __name__ == "__main__":
    main()

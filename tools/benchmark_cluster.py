"""Compare a Ray cluster, an object store and array jobs with the same work on this machine alone.

    python tools/benchmark_cluster.py --images FOLDER

Three parts, each in one run:

- Ray: CPU time an image of `--engine ray` on one node and of the local engine, as the slope between a small and a large
  run, so that what every run costs once does not count; Ray's own daemons (raylet, GCS, agents) are set apart.
- Latency: images/s of a tar on disk, on a web server (nginx, which must be installed), and on that behind 30 ms of
  latency. moto, a server in Python, is itself the limit: it reads all of an object for each range.
- Scale: 200,000 tiny images: a run with nothing to do, and the start of an array job, from a listing that was kept.

FOLDER holds class folders of real images. CPU time is that of all processes of a command, as /proc shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

MARK = "BENCHMARK_CLUSTER_RUN"
TICK_S = 0.1
CLOCK = os.sysconf("SC_CLK_TCK")
DAEMONS = ("raylet", "gcs_server", "dashboard", "log_monitor", "monitor.py", "runtime_env", "agent")
LATENCY_S = 0.030
# Images of a shard of the Ray part, and how often each image is there, so that a slope is of enough work.
SHARD_IMAGES, COPIES = 334, 12
TINY_IMAGES, TINY_CLASSES = 200_000, 200
SHARD = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard"]


class Cost:
    """Runs a command, and sums the CPU time of all its processes: `work_s` and, of Ray's daemons, `daemons_s`."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._run = uuid.uuid4().hex
        self._seen: dict[tuple[str, str], tuple[bool, float]] = {}
        self._mine: dict[str, bool] = {}
        began_s = time.monotonic()
        process = subprocess.Popen(
            command, env={**os.environ, **environment, MARK: self._run}, stdout=subprocess.DEVNULL
        )
        while process.poll() is None:
            self._look()
            time.sleep(TICK_S)
        self.wall_s = time.monotonic() - began_s
        if process.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        self.work_s = sum(cpu for daemon, cpu in self._seen.values() if not daemon)
        self.daemons_s = sum(cpu for daemon, cpu in self._seen.values() if daemon)

    def _look(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                born = fields[19]
                key = f"{folder.name} {born}"
                if key not in self._mine:
                    self._mine[key] = f"{MARK}={self._run}".encode() in (folder / "environ").read_bytes()
                if self._mine[key]:
                    command = (folder / "cmdline").read_bytes().decode(errors="replace")
                    daemon = any(name in command for name in DAEMONS) and not command.startswith("ray::")
                    self._seen[folder.name, born] = daemon, (int(fields[11]) + int(fields[12])) / CLOCK


def ray_part(images: Path, scratch: Path, rounds: int) -> Iterator[str]:
    """Slopes of both engines, in pairs."""
    count = sum(1 for path in images.glob("*/*"))
    small, large = count // 4, count
    slopes: dict[str, list[float]] = {"local": [], "ray": []}
    walls: dict[str, list[float]] = {"local": [], "ray": []}
    daemons, once = [], []
    same = True
    for turn in range(rounds):
        hashes = {}
        for engine in slopes if turn % 2 else reversed(slopes):
            costs = {}
            for limit in (small, large):
                out = scratch / f"{engine}-{limit}"
                command = [*SHARD, str(images), str(out), "--limit", str(limit), "--shard-size", str(SHARD_IMAGES)]
                costs[limit] = Cost([*command, "--engine", engine], {"RAY_ADDRESS": "local"})
                hashes[engine, limit] = {path.name: path.read_bytes() for path in out.rglob("*.tar")}
                shutil.rmtree(out)
            slopes[engine].append((costs[large].work_s - costs[small].work_s) / (large - small) * 1e3)
            walls[engine].append((costs[large].wall_s - costs[small].wall_s) / (large - small) * 1e3)
            if engine == "ray":
                daemons.append((costs[large].daemons_s - costs[small].daemons_s) / (large - small) * 1e3)
                once.append(costs[small].work_s + costs[small].daemons_s - slopes["ray"][-1] * small / 1e3)
        same &= all(hashes["local", limit] == hashes["ray", limit] for limit in (small, large))
    ratios = [ray / local for ray, local in zip(slopes["ray"], slopes["local"], strict=True)]
    yield f"## Ray on this machine: {large:,} real images to 256 px, shards of {SHARD_IMAGES}, {rounds} pairs\n"
    yield "| | local engine | Ray | ratio, median of pairs |\n|---|---|---|---|"
    yield f"| CPU ms an image, slope | {median(slopes['local'])} | {median(slopes['ray'])} | {median(ratios)} |"
    yield f"| wall ms an image, slope | {median(walls['local'])} | {median(walls['ray'])} | |"
    yield f"| Ray's daemons, CPU ms an image, slope | | {median(daemons)} | |"
    yield f"| what a run on Ray costs once, CPU s | | {median(once)} | |"
    yield f"\nAll tars identical: {'yes' if same else 'NO'}.\n"


def latency_part(images: Path, scratch: Path, rounds: int) -> Iterator[str]:
    """Images/s of one tar from disk, from servers and from behind latency, in turns."""
    (scratch / "web").mkdir()
    tar = scratch / "web" / "images.tar"
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(images, ".")
    count = sum(1 for path in images.glob("*/*"))
    with nginx(scratch) as near, delayed(near) as far:
        sources = {
            "disk": str(tar),
            "nginx": f"http://127.0.0.1:{near}/{tar.name}",
            "nginx + 30 ms": f"http://127.0.0.1:{far}/{tar.name}",
        }
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(rounds):
            for name, source in sources.items():
                out = scratch / "latency"
                # One worker, because the server and what delays it need the other core; the listing is taken off.
                command = [*SHARD, source, str(out), "--workers", "1"]
                Cost([*command, "--plan-only"], {})
                began = Cost([*command, "--part", f"0/{count}"], {}).wall_s
                rates[name].append(count / (Cost(command, {}).wall_s - began))
                shutil.rmtree(out)
    yield f"## A tar of {count:,} images on a web server, one worker, {rounds} rounds, listing and start apart\n"
    yield "| source | images/s, median | of disk, median of rounds |\n|---|---|---|"
    for name, found in rates.items():
        yield f"| {name} | {median(found)} | {median([a / b for a, b in zip(found, rates['disk'], strict=True)])} |"
    yield ""


def scale_part(scratch: Path, rounds: int) -> Iterator[str]:
    """A run with nothing to do and the start of an array job."""
    source, out, planned = scratch / "tiny", scratch / "tiny-out", scratch / "tiny-planned"
    make_tiny(source)
    command = [*SHARD, str(source), str(out), "--size", "32"]
    first = Cost(command, {})
    again = [Cost(command, {}) for _ in range(rounds)]
    listed = [Cost([*command, "--rescan"], {}) for _ in range(rounds)]
    array = [*SHARD, str(source), str(planned), "--size", "32"]
    Cost([*array, "--plan-only"], {})
    start = [Cost([*array, "--part", f"0/{TINY_IMAGES}"], {}) for _ in range(rounds)]
    yield f"## {TINY_IMAGES:,} images of 40x40 px in {TINY_CLASSES} class folders, {rounds} runs\n"
    yield "| | wall s, median | CPU s, median |\n|---|---|---|"
    yield f"| the first run, one method, 32 px | {first.wall_s:.3g} | {first.work_s:.3g} |"
    for name, costs in (
        ("a run with nothing to do", again),
        ("the same with `--rescan`", listed),
        ("start of an array job, `--part` without shards", start),
    ):
        yield f"| {name} | {median([c.wall_s for c in costs])} | {median([c.work_s for c in costs])} |"
    yield f"\nThe goal is 1 s + .5 us an image: {1 + 0.5e-6 * TINY_IMAGES:.2f} s.\n"


def make_tiny(source: Path) -> None:
    """Write class folders of tiny images."""
    dice = np.random.default_rng(0)
    data = [
        cv2.imencode(".jpg", cv2.resize(dice.integers(0, 256, (5, 5, 3), np.uint8), (40, 40)))[1].tobytes()
        for _ in range(64)
    ]
    for number in range(TINY_CLASSES):
        folder = source / "train" / f"n{number:08d}"
        folder.mkdir(parents=True)
        for image in range(TINY_IMAGES // TINY_CLASSES):
            (folder / f"n{number:08d}_{image}.JPEG").write_bytes(data[(number + image) % 64])


NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; root {folder}/web; }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Serve `folder`/web."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port))
    folder.chmod(0o755)  # its worker may be another user
    server = subprocess.Popen(["nginx", "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until a server listens."""
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)


@contextmanager
def delayed(port: int) -> Iterator[int]:
    """A port behind which everything takes `LATENCY_S` longer, at any bandwidth."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def send() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        sender = asyncio.create_task(send())
        with suppress(OSError):
            while data := await reader.read(1 << 18):
                waiting.put_nowait((loop.time() + delay_s, data))
        waiting.put_nowait((loop.time() + delay_s, b""))
        with suppress(OSError):
            await sender

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, their_writer, LATENCY_S), pass_on(their_reader, writer, 0))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def median(values: Sequence[float]) -> str:
    """The median in three digits."""
    return f"{statistics.median(values):.3g}"


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="class folders of real images")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each part")
    parser.add_argument("--part", action="append", choices=["ray", "latency", "scale"], help="only this; repeatable")
    given = parser.parse_args()
    parts = given.part or ["ray", "latency", "scale"]
    print(f"# benchmark_cluster, {datetime.datetime.now(datetime.UTC).date()}\n")
    print("`" + " ".join(["python", "tools/benchmark_cluster.py", *sys.argv[1:]]) + "`\n")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("ray", "obstore"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}\n")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        images = scratch / "images"
        for path in sorted(given.images.glob("*/*")):
            for copy in range(COPIES):
                target = images / path.parent.name / f"{path.stem}_{copy}{path.suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        for part in parts:
            lines = {
                "ray": lambda: ray_part(images, scratch, given.rounds),
                "latency": lambda: latency_part(images, scratch, given.rounds),
                "scale": lambda: scale_part(scratch, given.rounds),
            }[part]()
            for line in lines:
                print(line, flush=True)


if __name__ == "__main__":
    main()

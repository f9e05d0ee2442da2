"""Processes of one run, forked from one that has imported all they need: to start eight would take half a minute.

torchrun's variables but for the number of processes; arguments: that number, then those of the command. The last line
on stdout is the list of exit codes, by rank.
"""

import ctypes
import os
import signal
import sys

from alexnet_pipeline.alexnet import train  # noqa: F401
from alexnet_pipeline.cli.main import main

PR_SET_PDEATHSIG = 1  # prctl(2): no child outlives its parent


def fork(rank: int, world: int, arguments: list[str]) -> int:
    """The id of a child that runs the command."""
    child = os.fork()
    if child:
        return child
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    sys.argv = ["alexnet-pipeline", *arguments]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(int(end.code or 0))
    raise AssertionError("the command returned")


if __name__ == "__main__":
    world = int(sys.argv[1])
    children = [fork(rank, world, sys.argv[2:]) for rank in range(world)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.stdout.write(f"{codes}\n")

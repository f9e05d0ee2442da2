"""Imported by the fork server before it forks workers: kernels are compiled or loaded here, once for all of them."""

from __future__ import annotations

import gc
import signal
from contextlib import suppress

# This process is a server of ours: a terminal's Ctrl-C is for the process that started it.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from alexnet_pipeline.pixels import codec  # noqa: E402 - only after the signal is ignored
from alexnet_pipeline.shards import write  # noqa: E402

codec.quiet_opencv()
gc.disable()  # a tenth of the compiler's time; workers freeze what is left
with suppress(Exception):  # what is wrong here is wrong in a worker as well, which reports it
    write.prepare()

"""Module that the fork server imports before it forks workers: it compiles or loads the kernels once for all."""

from __future__ import annotations

import gc
import signal
from contextlib import suppress

# This process is the fork server; the process that started it handles Ctrl-C.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from alexnet_pipeline.pixels import codec  # noqa: E402 - only after the signal is ignored
from alexnet_pipeline.shards import write  # noqa: E402

codec.quiet_opencv()
gc.disable()  # saves a tenth of the compile time; workers freeze what is left
with suppress(Exception):  # a worker will meet the same error, and report it
    write.prepare()

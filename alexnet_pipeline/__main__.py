"""Run the command line, as `alexnet-pipeline` or with `python -m alexnet_pipeline`."""

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it as quietly as later."""
    try:
        from alexnet_pipeline.cli.main import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    run()


if __name__ == "__main__":
    main()

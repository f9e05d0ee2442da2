"""Run the command line with `python -m alexnet_pipeline`."""

from alexnet_pipeline.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m alexnet_pipeline` is `alexnet-pipeline`."""

from alexnet_pipeline.cli.main import main

if __name__ == "__main__":
    main()

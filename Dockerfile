# docker build -t alexnet-pipeline . && docker run --rm -v /data:/data alexnet-pipeline shard /data/ILSVRC2012 /data/shards
# For training, add `--gpus all` (NVIDIA's container toolkit) and `--shm-size 8g`.
FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY alexnet_pipeline alexnet_pipeline
RUN pip install --no-cache-dir '.[train,parquet,tfrecord,cloud]'

WORKDIR /data
ENTRYPOINT ["alexnet-pipeline"]

#!/usr/bin/env bash
# Train on the GPUs of one node. A job whose time runs out saves a checkpoint, and the next one goes on from there.
#
#   export SHARDS=/scratch/shards/lanczos RUN=/scratch/runs/a PROCESSES=2
#   sbatch --gpus="$PROCESSES" --array=1-10%1 tools/slurm_train.sh       # up to ten jobs, one after the other
#
# Jobs that are left when training is complete validate once more and end.
#SBATCH --job-name=train
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
set -euo pipefail

options=(${OPTIONS:-})

# The signal reaches this shell alone. torchrun would die of USR1 and leave its processes running; it passes TERM on, and
# gives them 30 seconds.
trap 'kill -TERM "$training"' USR1
torchrun --standalone --nproc-per-node "$PROCESSES" \
    -m alexnet_pipeline --no-progress train "$SHARDS" --run-dir "$RUN" --resume auto "${options[@]}" &
training=$!
status=0
while kill -0 "$training" 2>/dev/null; do # `wait` also returns when the signal comes
    wait "$training" || status=$?
done
exit "$status"

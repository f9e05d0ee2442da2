#!/usr/bin/env bash
# Write the shards of ImageNet as an array job. OUT is a folder that all nodes share, or a bucket.
#
#   export SOURCE=/data/ILSVRC2012 OUT=/scratch/shards PARTS=64
#   alexnet-pipeline shard "$SOURCE" "$OUT" --plan-only        # lists the source once, for all jobs
#   job=$(sbatch --parsable --array=0-$((PARTS - 1)) tools/slurm.sh)
#   sbatch --dependency=afterok:"$job" --wrap 'alexnet-pipeline merge "$OUT" || [ $? -eq 3 ]'
#
# A job that fails or is preempted is submitted again, alone (`sbatch --array=17 tools/slurm.sh`), and goes on where it
# stopped. PARTS must stay the same, because the number of a job counts within it.
#SBATCH --job-name=shard
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=1G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail

# Options that determine the bytes, like --method and --size, must be those of the planning run.
options=(${OPTIONS:-})

status=0
alexnet-pipeline --no-progress shard "$SOURCE" "$OUT" "${options[@]}" \
    --part "$SLURM_ARRAY_TASK_ID/$PARTS" || status=$?
# 3 says that images were rejected, which the manifest lists; the shards are complete.
[ "$status" -eq 0 ] || [ "$status" -eq 3 ]

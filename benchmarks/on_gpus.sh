#!/usr/bin/env bash
# What --grad_comm does for `resnet` on the GPUs of this machine, into output/gpus/: the epoch lines
# of each, with seconds (two or more GPUs, a few minutes): bash benchmarks/on_gpus.sh
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p output/gpus
[ -d output/gpus/set ] || python generate_data.py --num_samples 1000 --split_ratio 0 1 0 --output_dir output/gpus/set
for comm in fp32 bf16 powersgd; do
    torchrun --nproc_per_node gpu train.py --data_root output/gpus/set --fresh 1 --backbone resnet \
        --no-pretrained --batch_size 64 --epoch_size 51200 --num_epochs 3 --sync_batchnorm \
        --grad_comm $comm --save_dir "output/gpus/$comm" | tee "output/gpus/$comm.txt"
done

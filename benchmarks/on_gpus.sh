#!/usr/bin/env bash
# What --grad_comm does for `resnet` on the GPUs of this machine, into output/gpus/: the epoch lines
# of each, with seconds, which is what overlap with computing leaves of the time on the way
# (`unshared` shares nothing). Bytes a step do not hang on the machine: docs/distributed.md.
# Two or more GPUs, a few minutes: bash benchmarks/on_gpus.sh
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p output/gpus
[ -d output/gpus/set ] || python generate_data.py --num_samples 1000 --split_ratio 0 1 0 --output_dir output/gpus/set
flags=(--data_root output/gpus/set --fresh 1 --backbone resnet --no-pretrained --batch_size 64
       --epoch_size 51200 --num_epochs 3)
for comm in fp32 bf16 powersgd; do
    torchrun --nproc_per_node gpu train.py "${flags[@]}" --sync_batchnorm --grad_comm $comm \
        --save_dir "output/gpus/$comm" | tee "output/gpus/$comm.txt"
done
IFS=, read -ra gpus <<< "${CUDA_VISIBLE_DEVICES:-$(nvidia-smi --query-gpu=index --format=csv,noheader | paste -sd,)}"
ended=()
for gpu in "${gpus[@]}"; do
    CUDA_VISIBLE_DEVICES=$gpu python train.py "${flags[@]}" --epoch_size $((51200 / ${#gpus[@]})) \
        --save_dir "output/gpus/unshared$gpu" > "output/gpus/unshared$gpu.txt" &
    ended+=($!)
done
for each in "${ended[@]}"; do wait "$each"; done

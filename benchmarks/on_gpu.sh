#!/usr/bin/env bash
# Every figure that needs a GPU, into output/gpu/: bash benchmarks/on_gpu.sh (about ten minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p output/gpu
python -m benchmarks.generation --device cuda --output output/gpu/generation.md
python -m benchmarks.training --device cuda --backbone basic --batch_size 256 --epoch_size 25600 \
    --ways default compile plain --output output/gpu/training_basic.md
python -m benchmarks.training --device cuda --backbone light --batch_size 512 --epoch_size 51200 \
    --ways default compile plain --output output/gpu/training_light.md
python -m benchmarks.time_to_accuracy --device cuda --batch_size 128 --num_pictures 120000 \
    --num_epochs 6 --goals 0.9 --hard_characters vV0OxXzZ \
    --output output/gpu/time_to_accuracy.md --curve output/gpu/time_to_accuracy.png

#!/usr/bin/env bash
# Every figure that needs a GPU, into output/gpu/: bash benchmarks/on_gpu.sh (about half an hour).
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
python -m benchmarks.backbones --device cuda --output output/gpu/backbones.md
# Two million drawn words for the larger network; with IIIT5K's pictures in data/iiit5k, their score.
python generate_data.py --kind word --num_samples 2000 --split_ratio 0 1 0 --output_dir output/gpu/words
python train.py --config recipes/words36-light.toml --backbone vgg7 --hidden_size 256 --num_layers 2 \
    --optimizer muon --lr 1e-3 --batch_size 256 --data_root output/gpu/words --save_dir output/gpu/words36
if [ -d data/iiit5k/val ]; then
    python inference.py --mode evaluate --model_path output/gpu/words36/best.pth \
        --data_root data/iiit5k/val --output_path output/gpu/words36.json
fi

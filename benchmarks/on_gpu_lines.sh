#!/usr/bin/env bash
# Lines of 30,656 characters on a GPU, across and down, into output/gpu/ (about half an hour):
# bash benchmarks/on_gpu_lines.sh FONTS, a folder of fonts that have them (the README says which).
# With the list of yizt/crnn.pytorch as data/charset_chinese_30656.txt, one character a line, and
# its sample pictures in data/yizt_horizontal and data/yizt_vertical, their score.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p output/gpu
python -m benchmarks.ctc --device cuda --output output/gpu/ctc.md
python -m benchmarks.ctc --device cuda --half --output output/gpu/ctc_half.md
for direction in horizontal vertical; do
    lines=output/gpu/lines_$direction
    python generate_data.py --kind line --charset_file data/charset_chinese_30656.txt \
        --missing_glyphs drop --fonts "$1" --direction $direction --min_length 5 --max_length 20 \
        --num_samples 2000 --split_ratio 0 1 0 --output_dir $lines
    python train.py --config recipes/chinese-lines.toml --data_root $lines --save_dir $lines-reader \
        --save_format safetensors --hidden_size 192 --head_size 104 --batch_size 256 \
        --epoch_size 100000 --num_epochs 30
    python inference.py --mode evaluate --data_root $lines --split val \
        --model_path $lines-reader/best.safetensors --output_path $lines.json
    if [ -d data/yizt_$direction/train ]; then
        python inference.py --mode evaluate --data_root data/yizt_$direction/train \
            --model_path $lines-reader/best.safetensors --output_path output/gpu/yizt_$direction.json
    fi
done

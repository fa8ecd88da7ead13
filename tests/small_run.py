"""A training that takes seconds: small pictures, a small network, no workers, one thread."""

from __future__ import annotations

from pathlib import Path

import torch

import train
from utils.checkpoint import load_checkpoint

SMALL = ["--img_width", "80", "--img_height", "32", "--hidden_size", "16", "--batch_size", "4"]
SMALL += ["--num_workers", "0", "--num_threads", "1", "--device", "cpu"]


def run(data: Path, save_dir: Path, *flags: str) -> int:
    return train.main(["--data_root", str(data), "--save_dir", str(save_dir), *SMALL, *flags])


def edit_labels(data: Path, split: str, row: str) -> None:
    with (data / split / "labels.txt").open("a", encoding="utf-8", newline="") as file:
        file.write(row)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).state_dict

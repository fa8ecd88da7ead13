"""Running train.py by torchrun, with small pictures and a small network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from small_run import SMALL

HERE = Path(__file__).resolve().parent


def torchrun(world_size: int, script: Path, *words: str, restarts: int = 0) -> Any:
    with started(world_size, script, *words, restarts=restarts) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def started(world_size: int, script: Path, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
               str(world_size), "--max_restarts", str(restarts), str(script), *words]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        cwd=HERE.parent, env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip


def train_on(
    world_size: int, data: Path, save_dir: Path, *flags: str, restarts: int = 0, **asked: Any
) -> Any:
    """rank_run.py, asked for something."""
    words = [json.dumps(asked), "--data_root", str(data), "--save_dir", str(save_dir), *SMALL]
    return torchrun(world_size, HERE / "rank_run.py", *words, *flags, restarts=restarts)

"""Turn .pth checkpoints into .safetensors, and prove that both read alike.

python convert_to_safetensors.py checkpoints/best.pth
python convert_to_safetensors.py checkpoints --batch --output_dir shipped
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.device import set_threads
from utils.errors import UserError, run_script
from utils.files import check_output_file, natural_key
from utils.options import option, parse

if TYPE_CHECKING:
    from torch import Tensor

DESCRIPTION = "Turn .pth checkpoints into .safetensors, and prove that both read alike."
EPILOG = """\
Weights and header are kept; what only a resumed training needs is left behind. A .safetensors
of that name is replaced once the new one is proved, and that is told.
exit code: 0 done; 1 --batch, and not one file could be converted; 2 an error, told in a sentence"""

TIMED_LOADS = 5


@dataclass(frozen=True)
class Options:
    path: str | None = option(None, "a .pth file, or with --batch a folder", positional=True)
    batch: bool = option(False, "convert every .pth of the folder; others are named, passed over")
    output_dir: str | None = option(None, "folder to write to (default: beside each .pth)")
    num_threads: int | None = option(None, "CPU threads (default: the cores, at most 8)", least=1)
    config: str | None = option(None, "recipe (TOML) that presets these flags")

    def problems(self) -> list[str]:
        found = []
        if self.path is None:
            found.append("nothing to convert; give FILE.pth, or a folder and --batch")
        elif not Path(self.path).exists():
            found.append(f"{self.path}: no such file or folder; give FILE.pth, or a folder")
        elif Path(self.path).is_dir() and not self.batch:
            found.append(f"{self.path}: it is a folder; add --batch to convert every .pth in it")
        elif not Path(self.path).is_dir() and self.batch:
            found.append(f"{self.path}: it is a file, and --batch takes a folder; leave it out")
        elif Path(self.path).suffix == ".safetensors":
            found.append(f"{self.path}: it is a .safetensors file already; give a .pth")
        if self.output_dir:
            try:
                check_output_file(Path(self.output_dir) / "any.safetensors")
            except UserError:
                found.append(f"--output_dir {self.output_dir}: it is not a folder, or lies in none")
        return found


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(Options, argv, DESCRIPTION, EPILOG).options
    path = Path(options.path or "")
    files = [path]
    if options.batch:
        files = sorted(path.glob("*.pth"), key=natural_key)
        if not files:
            raise UserError(f"{path}: no .pth file in this folder; give one that holds some")
    set_threads(options.num_threads)
    converted = 0
    for file in files:
        output = Path(options.output_dir or file.parent) / f"{file.stem}.safetensors"
        try:
            print(convert(file, output))
            converted += 1
        except UserError as error:
            if not options.batch:
                raise
            print(f"passed over: {error}", file=sys.stderr)
    if options.batch:
        print(f"converted {converted} of {len(files)} files")
    return 0 if converted else 1


def convert(source: Path, output: Path) -> str:
    """Write `output` from `source` and say how they compare.

    The new file is proved under a temporary name first, so that a failure leaves nothing behind
    and an older `output` as it was.
    """
    original = load_checkpoint(source)
    check_output_file(output)
    unproved = output.with_name(f".{output.stem}.{os.getpid()}.unproved.safetensors")
    try:
        save_checkpoint(unproved, original.header, original.state_dict)
        prove_equal(original, load_checkpoint(unproved))
        times = [median_load_time(path) for path in (source, unproved)]
        replaced = " (replaces the one that was there)" if output.exists() else ""
        os.replace(unproved, output)
    finally:
        unproved.unlink(missing_ok=True)
    sizes = [path.stat().st_size / 1e6 for path in (source, output)]
    return (
        f"{source} -> {output}{replaced}\n"
        f"  logits of a seeded batch: equal\n"
        f"  size: {sizes[0]:.2f} -> {sizes[1]:.2f} MB\n"
        f"  load time: {times[0] * 1e3:.1f} -> {times[1] * 1e3:.1f} ms "
        f"(median of {TIMED_LOADS})"
    )


def prove_equal(original: Checkpoint, written: Checkpoint) -> None:
    """UserError unless both have one header and give the same logits, bit for bit."""
    import torch

    if original.header != written.header:
        raise UserError(f"{original.path}: the header did not come through; nothing was written")
    if not torch.equal(seeded_logits(original), seeded_logits(written)):
        raise UserError(
            f"{original.path}: a .safetensors of it gives other logits, or its weights are not "
            "finite; nothing was written, and the .pth is as it was"
        )


def seeded_logits(checkpoint: Checkpoint) -> Tensor:
    """Logits (2, T, C) of a batch that is the same in every call."""
    import torch

    image = checkpoint.header.image
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, image.channels, image.height, image.width, generator=generator)
    with torch.inference_mode():
        logits, _ = checkpoint.build()(images)
    return logits


def median_load_time(path: Path) -> float:
    """Seconds from the file to its tensors."""
    seconds = []
    for _ in range(TIMED_LOADS):
        start = time.perf_counter()
        load_checkpoint(path)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(run_script(main))

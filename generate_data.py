"""Make a data set of captchas, words or lines: pictures, labels.txt, dataset.json and samples.png.

python generate_data.py --num_samples 10000 --charset digits --output_dir data/digits
python generate_data.py --kind word --output_dir data/words     words as signs show them
python generate_data.py --kind line --charset chinese_common --output_dir data/lines
python generate_data.py --resume                  go on where the last run stopped
python generate_data.py --resume --num_samples N  add to a set, under the same other flags

Picture k of a split is drawn from (seed, split, k) alone (by --renderer fast, which draws many at
once, from seed, split and their block): the same --seed gives the same bytes whatever the number of
workers, and a smaller --num_samples the first ones of a larger, split by split.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from utils.device import usable_cores
from utils.errors import run_script
from utils.files import remove_leftovers, write_text
from utils.options import parse
from utils.picture import open_picture
from utils.show.contact_sheet import write_contact_sheet
from utils.synth.description import check_target, describe, write_description
from utils.synth.drawing import draw_all, file_name, split_chunks
from utils.synth.options import GenerateOptions, idle_flags

SAMPLES = 20


def main(argv: list[str] | None = None) -> int:
    parsed = parse(GenerateOptions, argv, __doc__ or "")
    options = parsed.options
    for sentence in idle_flags(parsed):
        print(f"warning: {sentence}")
    try:
        generate(options)
    except KeyboardInterrupt:
        print("\nstopped; the same command with --resume goes on from here", file=sys.stderr)
        return 130
    return 0


def generate(options: GenerateOptions) -> None:
    """Draw what is missing of the set, labels.txt of a split after its last picture."""
    root, recipe = Path(options.output_dir), options.recipe
    sizes = {split: size for split, size in options.sizes.items() if size}
    workers = usable_cores() if options.num_workers is None else options.num_workers
    description = describe(
        recipe, options.num_samples, options.split_ratio, options.seed, options.renderer
    )
    check_target(root, description, options.resume)
    # It comes first, so that whatever is left in the folder can be resumed.
    write_description(root, description, complete=False)
    for folder in (root, *(root / split for split in sizes)):
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
    for sentence in options.left_out():
        print(sentence)
    print(f"{root}: {options.num_samples:,} {recipe}, seed {options.seed}")
    chunks = split_chunks(root, recipe, sizes, options.seed, options.renderer)
    labels: dict[str, list[str]] = {split: [] for split in sizes}
    new, started = 0, time.perf_counter()
    with (
        tqdm(total=options.num_samples, unit=" pictures", disable=None) as bar,
        closing(draw_all(recipe, chunks, workers, options.renderer)) as results,
    ):
        for chunk, drawn in zip(chunks, results, strict=True):
            labels[chunk.split] += drawn.texts
            new += drawn.new
            bar.update(len(drawn.texts))
            if chunk.stop == sizes[chunk.split]:
                write_labels(chunk.folder, labels[chunk.split])
    seconds = time.perf_counter() - started
    write_samples(root, labels)
    write_description(root, description, complete=True)
    report(root, sizes, new, seconds)


def write_labels(folder: Path, labels: list[str]) -> None:
    rows = [f"{file_name(index)}\t{label}\n" for index, label in enumerate(labels)]
    write_text(folder / "labels.txt", "".join(rows))


def write_samples(root: Path, labels: dict[str, list[str]]) -> None:
    """samples.png: the first pictures of the set with their labels."""
    first = [
        (root / split / file_name(index), label)
        for split, texts in labels.items()
        for index, label in enumerate(texts[:SAMPLES])
    ][:SAMPLES]
    pictures = [open_picture(path, 3) for path, _ in first]
    write_contact_sheet(root / "samples.png", pictures, [label for _, label in first])


def report(root: Path, sizes: dict[str, int], new: int, seconds: float) -> None:
    """What was made, and the command that comes next."""
    counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    there = sum(sizes.values()) - new
    print(
        f"done: {counts}; drew {new:,} in {seconds:.1f} s ({new / seconds:,.0f} pictures/s)"
        + (f", {there:,} were there" if there else "")
    )
    print(f"look at {root / 'samples.png'}")
    if "val" in sizes:
        folder = f'"{root}"' if " " in str(root) else root
        fresh = "" if "train" in sizes else " --fresh 1"
        print(f"next: python train.py --data_root {folder}{fresh}")


if __name__ == "__main__":
    sys.exit(run_script(main))

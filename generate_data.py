"""Make a data set of captchas, words or lines: pictures, labels.txt, dataset.json and samples.png.

python generate_data.py --num_samples 10000 --charset digits --output_dir data/digits
python generate_data.py --kind word --output_dir data/words     words as signs show them
python generate_data.py --kind line --charset chinese_common --output_dir data/lines
python generate_data.py --resume                  go on where the last run stopped
python generate_data.py --resume --num_samples N  add to a set, under the same other flags
python generate_data.py --shard 3/8 --format lmdb an eighth of a set, as an LMDB

Picture k of a split is drawn from (seed, split, k) alone (by --renderer fast, which draws many at
once, from seed, split and their block): the same --seed gives the same bytes whatever the number of
workers, and a smaller --num_samples the first ones of a larger, split by split.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

from PIL.Image import Image
from tqdm import tqdm

from utils.device import usable_cores
from utils.errors import run_script
from utils.files import remove_leftovers
from utils.options import parse
from utils.picture import open_picture
from utils.show.contact_sheet import write_contact_sheet
from utils.synth.description import check_target, describe, write_description
from utils.synth.drawing import cut, draw_all, file_name
from utils.synth.idle_flags import idle_flags
from utils.synth.options import GenerateOptions
from utils.synth.shards import Place

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
    """Draw what is missing of the set, or of a shard; labels of a split after its last picture."""
    root, recipe, shard = Path(options.output_dir), options.recipe, options.part
    places = options.places(shard)
    description = describe(
        recipe, options.num_samples, options.split_ratio, options.seed, options.renderer,
        shard.count, options.format,
    )  # fmt: skip
    folders = [folder for place in places for folder in (place.drawn, place.folder)]
    check_target(root, description, options.resume, folders)
    # It comes first, so that whatever is left in the folder can be resumed. Of several shards, one
    # writes it: others may be at work.
    if shard.count == 1 or not (root / "dataset.json").is_file():
        write_description(root, description, complete=False)
    may_grow = shard.count == 1 and options.format == "files"
    left = [place for place in places if may_grow or not place.is_done]
    for folder in (place.drawn for place in left):
        folder.mkdir(exist_ok=True, parents=True)
        remove_leftovers(folder)
    for sentence in options.left_out():
        print(sentence)
    part = f", of which shard {shard.number} of {shard.count}" if shard.count > 1 else ""
    print(f"{root}: {options.num_samples:,} {recipe}, seed {options.seed}{part}")
    new, seconds = draw(options, left)
    for place in places:
        place.clear()
    is_whole = all(place.is_done for each in shard.others for place in options.places(each))
    if is_whole:
        write_description(root, description, complete=True)
    report(options, new, seconds, is_whole)


def draw(options: GenerateOptions, places: list[Place]) -> tuple[int, float]:
    """How many pictures were not there before, and the seconds that these took."""
    recipe, renderer = options.recipe, options.renderer
    workers = usable_cores() if options.num_workers is None else options.num_workers
    chunks = {
        chunk: place
        for place in places
        for chunk in cut(place.drawn, place.split, place.indices, recipe, options.seed, renderer)
    }
    labels: dict[str, list[str]] = {place.split: [] for place in places}
    shown: list[tuple[Image, str]] = []
    new, started = 0, time.perf_counter()
    with (
        tqdm(total=sum(len(p.indices) for p in places), unit=" pictures", disable=None) as bar,
        closing(draw_all(recipe, list(chunks), workers, renderer)) as results,
    ):
        for (chunk, place), drawn in zip(chunks.items(), results, strict=True):
            texts = labels[place.split]
            texts += drawn.texts
            new += drawn.new
            bar.update(len(drawn.texts))
            if chunk.stop == place.indices.stop:
                first = place.indices[: SAMPLES - len(shown)]
                pictures = [open_picture(place.drawn / file_name(index), 3) for index in first]
                shown += zip(pictures, texts, strict=False)
                place.finish(texts)
    seconds = time.perf_counter() - started
    if shown:
        pictures, texts = [picture for picture, _ in shown], [text for _, text in shown]
        write_contact_sheet(samples_path(options), pictures, texts)
    return new, seconds


def samples_path(options: GenerateOptions) -> Path:
    name = f"samples-{options.part}.png" if options.part.count > 1 else "samples.png"
    return Path(options.output_dir) / name


def report(options: GenerateOptions, new: int, seconds: float, is_whole: bool) -> None:
    """What was made, and the command that comes next."""
    root = Path(options.output_dir)
    sizes = {place.split: len(place.indices) for place in options.places(options.part)}
    counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    there = sum(sizes.values()) - new
    rate = new / max(seconds, 1e-9)
    print(
        f"done: {counts}; drew {new:,} in {seconds:.1f} s ({rate:,.0f} pictures/s)"
        + (f", {there:,} were there" if there else "")
    )
    if samples_path(options).is_file():
        print(f"look at {samples_path(options)}")
    if not is_whole:
        print("the set is whole when its other shards are drawn, into the same folder")
    elif options.sizes["val"]:
        folder = f'"{root}"' if " " in str(root) else root
        fresh = "" if options.sizes["train"] else " --fresh 1"
        print(f"next: python train.py --data_root {folder}{fresh}")


if __name__ == "__main__":
    sys.exit(run_script(main))

"""All of it in one go: draw a data set, train a reader, score it on pictures it never saw, show it.

Before that, a first look at what the model that comes with the project reads.

python quick_start.py                 about ten minutes on two CPU cores
python quick_start.py --skip_data_gen --skip_training    score and show the last one again
"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from models.registry import BACKBONES
from utils.checkpoint import SHIPPED_MODEL
from utils.dataset import read_recipe
from utils.device import DEVICES
from utils.errors import UserError, run_script
from utils.options import as_flags, option, parse

EXAMPLES = Path(__file__).resolve().parent / "examples"
FIRST_LOOK = "first_look.png"
"""Name of the first picture, beside --output_path."""


@dataclass(frozen=True)
class QuickStartOptions:
    config: str | None = option(None, "TOML recipe that presets flags")
    num_samples: int = option(10000, "pictures to draw: 80 % train, 10 % val, 10 % test", least=10)
    num_epochs: int = option(20, "epochs to train", above=0)
    batch_size: int | None = option(None, "pictures a step (default: the backbone's own)", above=0)
    backbone: str = option("light", "network that looks at the picture", tuple(BACKBONES))
    pretrained: bool = option(True, "ImageNet weights, for backbones that have them")
    fresh: float = option(
        1.0, "share of each epoch that is drawn anew instead of read from disk", least=0, most=1
    )
    hard_characters: str = option(
        "vV0OxXzZ",
        "characters that fresh pictures hold three times as often as the others; '' for none",
    )
    data_root: str = option("./data/quick_start", "where the data set goes")
    save_dir: str = option("./checkpoints/quick_start", "where the checkpoints go")
    output_path: str = option(
        "./output/quick_start.png", f"picture of what the reader reads; {FIRST_LOOK} lies beside it"
    )
    skip_data_gen: bool = option(False, "use the data set that is there")
    skip_training: bool = option(False, "use the checkpoint that is there")
    resume: bool = option(False, "go on with a quick start that was stopped")
    num_workers: int | None = option(
        None, "processes that prepare pictures (default: their own)", least=0
    )
    num_threads: int | None = option(None, "torch's CPU threads", above=0)
    seed: int = option(0, "everything is drawn from it", least=0)
    device: str = option("auto", "where to train", DEVICES)

    def problems(self) -> list[str]:
        """Flags that do not go together, a sentence each."""
        found = []
        if self.resume and self.skip_training:
            found.append("--resume and --skip_training fight: give one of them")
        if Path(self.output_path).suffix.lower() != ".png":
            found.append(f"--output_path {self.output_path}: expected a name that ends in .png")
        if Path(self.output_path).name.lower() == FIRST_LOOK:
            found.append(
                f"--output_path {self.output_path}: the first look has that name; change it"
            )
        return found


def main(argv=None) -> int:
    import generate_data
    import inference
    import train
    from utils.files import check_output_file

    started = time.monotonic()
    parsed = parse(QuickStartOptions, argv, (__doc__ or "").strip())
    options = parsed.options
    check_output_file(options.output_path)
    data_root, save_dir = Path(options.data_root), Path(options.save_dir)
    model_path = save_dir / "best.pth"
    if options.skip_training and not model_path.is_file():
        raise UserError(f"--skip_training: there is no {model_path} yet; leave the flag out once")

    training_has_begun = options.resume and (save_dir / "last.pth").is_file()
    if not (options.skip_training or training_has_begun):
        first_look(options)
    if not (options.skip_data_gen or training_has_begun):
        print(f"1/4 drawing {options.num_samples:,} captchas into {data_root}")
        code = generate_data.main(drawing_flags(options))
        if code:
            return code
    if not options.skip_training:
        if "hard_characters" not in parsed.given:
            options = replace(options, hard_characters=known_to(data_root, options.hard_characters))
        print(f"2/4 training {options.backbone}")
        code = train.main(training_flags(options, parsed.given, training_has_begun))
        if code > 128:
            words = [*(sys.argv[1:] if argv is None else argv)]
            words += [] if "--resume" in words else ["--resume"]
            print(f"for the quick start that is: python quick_start.py {shlex.join(words)}")
        if code:
            return code

    print("3/4 scoring on the test split, which training never saw")
    flags = ["--model_path", str(model_path), "--device", options.device]
    code = inference.main([*flags, "--mode", "evaluate", "--data_root", str(data_root)])
    if code:
        return code
    print("4/4 reading some of it")
    show(model_path, options.data_root, options.output_path, options.device)
    print(f"done in {time.monotonic() - started:.0f} s: look at {options.output_path}")
    print(f"read your own: python inference.py --model_path {model_path} --image_path PICTURE.png")
    return 0


def drawing_flags(options: QuickStartOptions) -> list[str]:
    """The command line of generate_data.py for this quick start."""
    flags = ["--output_dir", options.data_root, "--num_samples", str(options.num_samples)]
    flags += ["--seed", str(options.seed)]
    if options.num_workers:
        flags += ["--num_workers", str(options.num_workers)]
    # A set of the same recipe is kept, or brought to its end; another one is refused.
    return flags + (["--resume"] if (Path(options.data_root) / "dataset.json").exists() else [])


def known_to(data_root: Path, characters: str) -> str:
    """Those of the characters that the set's recipe draws; none where it has no recipe."""
    recipe = read_recipe(data_root)
    return "".join(filter(recipe.characters.count, characters)) if recipe else ""


def training_flags(options: QuickStartOptions, given: frozenset[str], going_on: bool) -> list[str]:
    """The command line of train.py for this quick start; a run that goes on knows its own flags."""
    ours = ["backbone", "num_epochs", "fresh", "seed", "device", "batch_size"]
    ours += ["num_workers", "num_threads"]
    if options.fresh and options.hard_characters:
        ours += ["hard_characters"]
    sent = [name for name in ours if name in given or not going_on]
    flags = as_flags(options, ["data_root", "save_dir", *sent])
    if going_on:
        return [*flags, "--resume", "auto"]
    return flags if options.pretrained else [*flags, "--no-pretrained"]


def first_look(options: QuickStartOptions) -> None:
    """What the shipped model reads, before one is trained; where that fails, the rest goes on."""
    from utils.device import set_threads

    output = Path(options.output_path).with_name(FIRST_LOOK)
    set_threads(1)  # for eight pictures; the training sets its own
    try:
        read = show(SHIPPED_MODEL, EXAMPLES, output, "cpu")
    except UserError as error:
        print(f"no first look: {error}")
        return
    print(f"a first look: the model that comes with the project reads {read}; look at {output}")


def show(model_path: Path, data_root: str | Path, output: str | Path, device: str) -> str:
    """Read 30 test pictures and write them, with label and text, into one picture: `n of m`."""
    from utils.dataset import BadRows, open_dataset
    from utils.recognizer import Recognizer
    from utils.show.contact_sheet import write_readings

    rows = open_dataset(data_root, BadRows(0), ("test",)).split("test")[:30]
    predictions = Recognizer.load(model_path, device).read([row.picture for row in rows])
    texts = [prediction.text for prediction in predictions]
    write_readings(output, rows, texts)
    return f"{sum(row.label == text for row, text in zip(rows, texts, strict=True))} of {len(rows)}"


if __name__ == "__main__":
    sys.exit(run_script(main))

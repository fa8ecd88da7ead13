"""Change pictures of text as cameras and scanners do, so that a small set goes further.

  python -m utils.augment examples/captcha_1.png --output_path output/augment.png

shows what each change does to a picture, and what `train.py --augment light`, `medium` and `heavy`
make of it. Each picture gets a few changes, drawn anew each time it is read. With --keep_ratio they
are stretched too, and medium and heavy put a second one beside some, where both have room.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

from utils.changes import CHANGES, LEVELS, beside, shrunk, varied
from utils.errors import UserError, run_script
from utils.files import check_output_file
from utils.options import option, parse
from utils.picture import PictureError, open_picture
from utils.show.contact_sheet import write_contact_sheet

SHEET_COLUMNS = 6


@dataclass(frozen=True)
class Options:
    picture: str | None = option(None, "a picture of text", positional=True)
    output_path: str = option("output/augment.png", "contact sheet to write")
    seed: int = option(0, "everything is drawn from it", least=0)
    config: str | None = option(None, "TOML recipe that presets flags")

    def problems(self) -> list[str]:
        try:
            check_output_file(self.output_path)
        except UserError as error:
            return [f"--output_path {error}"]
        return [] if self.picture else ["no picture is given"]


def main(argv=None) -> int:
    options: Options = parse(Options, argv, (__doc__ or "").strip()).options
    try:
        image = open_picture(Path(options.picture or ""), 3)
    except PictureError as error:
        raise UserError(f"{options.picture}: {error}; give the path of a picture") from None
    rng = random.Random(options.seed)
    pictures, captions = [], []
    for name, change in {"shrunk": shrunk, **CHANGES}.items():
        for strength in (1 / 3, 2 / 3, 1.0) * 2:
            pictures.append(change(image, strength, rng))
            captions.append(f"{name} {strength:.1f}")
    for name in [level for level in LEVELS if level != "none"] * 2:
        pictures += [varied(image, name, rng) for _ in range(SHEET_COLUMNS)]
        captions += [f"--augment {name}"] * SHEET_COLUMNS
    pictures.append(beside(image, image))
    captions.append("two as one (--keep_ratio)")
    write_contact_sheet(options.output_path, pictures, captions, columns=SHEET_COLUMNS)
    print(f"each change, and each level: {options.output_path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))

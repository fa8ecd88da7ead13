"""Files that are made to do harm: told in a sentence, with little memory, and nothing is run."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from lively import write_checkpoint

from utils.checkpoint import Checkpoint, Header, load_checkpoint
from utils.dataset import read_recipe
from utils.errors import UserError
from utils.options import parse
from utils.text.ngram import NgramCounts
from utils.training.options import TrainOptions

DEEP = "[" * 100_000
ROOT = Path(__file__).resolve().parent.parent


class Code:
    def __reduce__(self):
        return (os.system, ("touch harm",))


def test_code_in_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"header": Code(), "model": {}}, "model.pth")
    with pytest.raises(UserError, match="holds pickled code or objects, which are never run here"):
        load_checkpoint("model.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_header_of_ten_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 10**10) + b'{"' + b" " * 100)
    with pytest.raises(UserError, match="truncated or damaged"):
        load_checkpoint(path)


def test_a_zip_file_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    sound, bomb = write_checkpoint(tmp_path / "model.pth"), tmp_path / "bomb.pth"
    with zipfile.ZipFile(sound) as one, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as other:
        for info in one.infolist():
            other.writestr(info.filename, one.read(info))
        with other.open("archive/data/999", "w", force_zip64=True) as file:
            for _ in range(100):
                file.write(bytes(10**7))
    assert bomb.stat().st_size < 10**7
    with pytest.raises(UserError, match="damaged or foreign"):
        load_checkpoint(bomb)


def build(path: Path, **sizes: int) -> None:
    sound = load_checkpoint(path)
    model = replace(sound.header.model, **sizes)
    Checkpoint(path, replace(sound.header, model=model), sound.state_dict).build()


@pytest.mark.parametrize(
    "size", ["hidden_size", "num_layers", "img_height", "img_channels", "head_size"]
)
def test_a_header_that_asks_for_gigabytes_of_weights(tmp_path: Path, size: str) -> None:
    """In a process of its own, whose memory is looked at."""
    path = write_checkpoint(tmp_path / "model.safetensors")
    build(path)
    code = (
        "import sys; from pathlib import Path; from test_hostile_files import build\n"
        "from utils.errors import UserError\n"
        "try: build(Path(sys.argv[1]), **{sys.argv[2]: 10**8})\n"
        "except UserError as error: print(error)\n"
        "from benchmarks.ctc import held\n"
        "print(held('VmHWM'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), size], capture_output=True, encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        timeout=120, check=True,
    )  # fmt: skip
    sentence, peak = done.stdout.strip().rsplit("\n", 1)
    assert "its weights do not fit its own header" in sentence
    assert int(peak) < 2 * 2**30  # of this process: getrusage would count the one that started it


def test_deep_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"recipe": ' + DEEP)
    with pytest.raises(UserError, match="not a data set's description"):
        read_recipe(tmp_path)
    (tmp_path / "texts.json").write_text(DEEP)
    with pytest.raises(UserError, match="not a language model"):
        NgramCounts.load(tmp_path / "texts.json")
    (tmp_path / "recipe.toml").write_text(f"lr = {DEEP}")
    with pytest.raises(UserError, match="not a TOML recipe"):
        parse(TrainOptions, ["--config", str(tmp_path / "recipe.toml")], "")
    start = json.dumps({"format": "crnn-reader", "format_version": 4})[:-1]
    with pytest.raises(UserError, match="damaged or foreign"):
        Header.from_json(f'{start}, "metrics": {DEEP}', "model.pth")

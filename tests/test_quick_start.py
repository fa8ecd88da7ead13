"""quick_start.py: what it makes, how a stopped one goes on, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import quick_start
from utils.errors import UserError
from utils.synth.captcha import CaptchaRecipe
from utils.training import state


def places(folder: Path) -> list[str]:
    return [
        *["--data_root", str(folder / "my data"), "--save_dir", str(folder / "run")],
        *["--output_path", str(folder / "shown.png")],
    ]


SMALL = ["--num_samples", "20", "--num_epochs", "2", "--num_threads", "1", "--device", "cpu"]


def test_a_stopped_quick_start_goes_on_with_the_command_that_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count_step = state.Progress.count_step

    def count_and_stop(progress: state.Progress, pictures: int) -> None:
        count_step(progress, pictures)
        if progress.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    flags = [*places(tmp_path), *SMALL, "--batch_size", "8", "--num_workers", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(state.Progress, "count_step", count_and_stop)
        assert quick_start.main(flags) == 128 + signal.SIGTERM
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("a first look: ")
    hint = printed[-1]
    words = shlex.split(hint.split("quick_start.py ")[1])
    assert words == [*flags, "--resume"]
    assert quick_start.main([*places(tmp_path), "--resume"]) == 0  # no flag need be said again
    out = capsys.readouterr().out
    assert "n = 2" in out
    assert "first look" not in out
    assert f"look at {tmp_path / 'shown.png'}" in out
    assert (tmp_path / "shown.png").stat().st_size > 0
    content = json.loads((tmp_path / "my data" / "dataset.json").read_text("utf-8"))
    assert content["num_samples"] == 20

    skipping = ["--skip_data_gen", "--skip_training"]
    assert quick_start.main([*places(tmp_path), *skipping]) == 0
    assert "1/4" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "given", "going_on", "sent"),
    [
        ({}, set(), False, True),
        ({"hard_characters": ""}, {"hard_characters"}, False, False),
        ({"fresh": 0.0}, set(), False, False),
        ({}, set(), True, False),  # the run knows its own
        ({}, {"hard_characters"}, True, True),  # and refuses another
    ],
)
def test_hard_characters_go_with_fresh_pictures(
    flags: dict[str, Any], given: set[str], going_on: bool, sent: bool
) -> None:
    options = quick_start.QuickStartOptions(**flags)
    words = quick_start.training_flags(options, frozenset(given), going_on)
    assert ("--hard_characters" in words) == sent


def test_a_set_need_not_have_all_hard_characters(tmp_path: Path) -> None:
    assert quick_start.known_to(tmp_path, "vV0O") == ""
    recipe = CaptchaRecipe("0123Ov", "some").to_json()
    (tmp_path / "dataset.json").write_text(json.dumps({"recipe": recipe}), "utf-8")
    assert quick_start.known_to(tmp_path, "vV0O") == "v0O"


def test_the_first_picture_shows_what_the_shipped_model_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("generate_data.main", lambda flags: 7)  # no further than that
    assert quick_start.main(places(tmp_path)) == 7
    first, second = capsys.readouterr().out.splitlines()
    picture = tmp_path / "first_look.png"
    said = r"a first look: the model that comes with the project reads ([78]) of 8; look at (.*)"
    found = re.fullmatch(said, first)
    assert found is not None
    assert found[2] == str(picture)
    assert second.startswith("1/4 ")
    with Image.open(picture) as sheet:
        assert sheet.size == (5 * 170 + 10, 2 * 92 + 10)  # eight of 160 x 60 and their captions


def test_without_the_shipped_model_the_quick_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("generate_data.main", lambda flags: 7)
    monkeypatch.setattr(quick_start, "SHIPPED_MODEL", tmp_path / "deleted.safetensors")
    assert quick_start.main(places(tmp_path)) == 7
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"no first look: {tmp_path / 'deleted.safetensors'}: no such file")
    assert second.startswith("1/4 ")
    assert not (tmp_path / "first_look.png").exists()


def test_what_cannot_work_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        quick_start.main(["--resume", "--skip_training", "--output_path", "shown.jpg"])
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(UserError, match="the first look has that name"):
        quick_start.main(["--skip_training", "--output_path", str(tmp_path / "first_look.png")])
    with pytest.raises(UserError, match=r"there is no .*best\.pth yet"):
        quick_start.main([*places(tmp_path), "--skip_training"])
    (tmp_path / "shown.png").mkdir()
    with pytest.raises(UserError, match="it is a folder"):
        quick_start.main(places(tmp_path))
    assert not (tmp_path / "my data").exists()

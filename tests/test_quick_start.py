"""quick_start.py: what it makes, how a stopped one goes on, and what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path

import pytest

import quick_start
from utils.errors import UserError
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
    hint = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(hint.split("quick_start.py ")[1])
    assert words == [*flags, "--resume"]
    assert quick_start.main([*places(tmp_path), "--resume"]) == 0  # no flag need be said again
    out = capsys.readouterr().out
    assert "n = 2" in out
    assert f"look at {tmp_path / 'shown.png'}" in out
    assert (tmp_path / "shown.png").stat().st_size > 0
    content = json.loads((tmp_path / "my data" / "dataset.json").read_text("utf-8"))
    assert content["num_samples"] == 20

    skipping = ["--skip_data_gen", "--skip_training"]
    assert quick_start.main([*places(tmp_path), *skipping]) == 0
    assert "1/4" not in capsys.readouterr().out


def test_what_cannot_work_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        quick_start.main(["--resume", "--skip_training", "--output_path", "shown.jpg"])
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(UserError, match=r"there is no .*best\.pth yet"):
        quick_start.main([*places(tmp_path), "--skip_training"])
    (tmp_path / "shown.png").mkdir()
    with pytest.raises(UserError, match="it is a folder"):
        quick_start.main(places(tmp_path))
    assert not (tmp_path / "my data").exists()

"""By what a run chooses: the monitor, the plateau; what it adds at its end: the temperature; and
characters that count as one."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import run
from torch.optim.lr_scheduler import ReduceLROnPlateau

import train
from utils.calibration import COLDEST, HOTTEST, PRIOR, fit_temperature
from utils.checkpoint import load_checkpoint
from utils.dataset import BadRows, open_dataset
from utils.errors import UserError
from utils.metrics import score_texts
from utils.recognizer import Recognizer
from utils.text.alignment import text_log_probs
from utils.training import curves, validation
from utils.training.calibrate import tempered
from utils.training.state import Progress
from utils.training.validation import Validation

EXACT = [("ab", "ab"), ("cd", "xx")]
CLOSE = [("ab", "ax"), ("cd", "cx"), ("ef", "ef"), ("gh", "gx")]


@pytest.mark.parametrize(("monitor", "best"), [("sequence_accuracy", 1), ("cer", 2), ("loss", 3)])
def test_the_monitor_chooses_the_best_epoch(monitor, best):
    """Epoch 1 has the most texts, 2 the most characters, 3 the least loss."""
    progress = Progress()
    epochs = [(EXACT, 3.0), (CLOSE, 2.0), (EXACT + [("ef", "xx")] * 4, 1.0)]
    chosen = [
        epoch
        for epoch, (pairs, loss) in enumerate(epochs, start=1)
        if progress.end_epoch(score_texts(pairs), loss, 1e-3, monitor)
    ]
    assert chosen[-1] == best
    assert progress.epochs_since_best == 3 - best


def test_the_loss_decides_between_equals():
    progress = Progress()
    better = [progress.end_epoch(score_texts(EXACT), loss, 1e-3) for loss in (2.0, 1.0, 1.5)]
    assert better == [True, True, False]


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=25), st.integers(1, 4))
def test_plateaus_are_torchs(values, patience):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=0.0
    )
    progress = Progress()
    for right in values:
        pairs = [("a", "a")] * right + [("a", "b")] * (4 - right)
        progress.end_epoch(score_texts(pairs), 1.0, 1e-3)
        scheduler.step(right)
        drops = -math.log2(optimizer.param_groups[0]["lr"])
        assert progress.plateaus("sequence_accuracy", patience) == round(drops)


@pytest.mark.parametrize("monitor", ["sequence_accuracy", "cer", "loss"])
def test_the_blank_plateau_is_no_standstill(monitor):
    progress = Progress()
    for _ in range(9):
        progress.end_epoch(score_texts([("ab", "")]), 4.0, 1e-3, monitor)
    assert not progress.out_of_patience(3)
    assert progress.plateaus(monitor, 3) == 0
    for _ in range(4):
        progress.end_epoch(score_texts([("ab", "a")]), 4.0, 1e-3, monitor)
    assert progress.out_of_patience(3)
    assert progress.plateaus(monitor, 3) == 1


def test_a_run_ends_with_a_temperature(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2", "--monitor", "loss") == 0
    header = load_checkpoint(tmp_path / "run" / "best.pth").header
    found = header.metrics["calibration"]
    assert header.temperature == found["temperature"] != 1.0
    assert found["n"] == header.metrics["val"]["n"]
    assert f"confidence: temperature {header.temperature:.3f}" in capsys.readouterr().out


def test_the_temperature_has_the_least_loss(tiny_data: Path, tmp_path: Path):
    """And confidences are those of the divided logits."""
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2") == 0
    path = tmp_path / "run" / "best.pth"
    rows = open_dataset(tiny_data, BadRows(0), ("val",)).split("val")
    reader = Recognizer.load(path, "cpu")
    fitted = reader.network.temperature
    [output] = reader.batches([row.picture for row in rows])
    targets = [reader.charset.encode(row.label) for row in rows]

    def loss(temperature: float) -> float:
        reader.network.temperature = temperature
        [found] = reader.batches([row.picture for row in rows])
        likely = text_log_probs(found.log_probs, found.lengths, targets).sum()
        return PRIOR * math.log(temperature) ** 2 - float(likely)

    assert COLDEST * 1.05 < fitted < HOTTEST / 1.05
    assert loss(fitted) < min(loss(fitted * 1.1), loss(fitted / 1.1))
    reader.network.temperature = 1.0
    [plain] = reader.batches([row.picture for row in rows])
    scaled = (torch.from_numpy(plain.log_probs) / fitted).log_softmax(dim=2)
    torch.testing.assert_close(torch.from_numpy(output.log_probs), scaled, atol=1e-5, rtol=1e-5)


def test_a_few_pictures_that_are_right_make_nobody_sure():
    """Without the prior the temperature would be the least there is."""
    log_probs = np.log(np.array([[[0.05, 0.9, 0.05]]] * 12, np.float32))

    def loss(temperature: float, prior: float) -> float:
        scaled = tempered(log_probs, temperature)
        return prior * math.log(temperature) ** 2 - float(scaled[:, 0, 1].sum())

    assert fit_temperature(lambda t: loss(t, 0.0)) < 0.26
    assert 0.5 < fit_temperature(lambda t: loss(t, PRIOR)) < 1.0


@pytest.mark.parametrize(
    ("monitor", "rates", "best"), [("cer", [1, 1, 0.5, 0.25], 1), ("loss", [1, 1, 1, 1], 4)]
)
def test_the_monitor_and_the_plateau_reach_the_loop(
    tiny_data, tmp_path, capsys, monkeypatch, monitor, rates, best
):
    """Validations that find a smaller loss, and fewer characters, after each epoch."""
    found = iter(
        Validation(score_texts([("12345", "12345"[:right])]), loss, [""] * 6)
        for right, loss in ((4, 8.0), (3, 7.0), (2, 6.0), (1, 5.0))
    )
    monkeypatch.setattr(validation, "validate", lambda *_: next(found))
    flags = ["--lr", "1e-3", "--num_epochs", "4", "--warmup", "0", "--monitor", monitor]
    plateau = ["--scheduler", "plateau", "--patience", "1", "--gamma", "0.5"]
    assert run(tiny_data, tmp_path / "run", *flags, *plateau) == 0
    with (tmp_path / "run" / "history.csv").open(encoding="utf-8") as file:
        assert [float(row["lr"]) / 1e-3 for row in csv.DictReader(file)] == pytest.approx(rates)
    assert f"after epoch {best}," in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run" / "best.pth").header.metrics["epoch"] == best


def test_a_run_that_goes_on_elsewhere_takes_its_best_along(tiny_data: Path, tmp_path: Path):
    assert run(tiny_data, tmp_path / "one", "--num_epochs", "1") == 0
    assert run(tiny_data, tmp_path / "other", "--num_epochs", "1", "--seed", "5") == 0
    others = (tmp_path / "other" / "best.pth").read_bytes()
    words = ("--resume", str(tmp_path / "one" / "last.pth"))
    assert train.main([*words, "--save_dir", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "previous_best.pth").read_bytes() == others
    one, other = (load_checkpoint(tmp_path / name / "best.pth") for name in ("one", "other"))
    assert one.header.metrics["val"] == other.header.metrics["val"]


def test_tensorboard_gets_the_curves(tiny_data: Path, tmp_path: Path):
    assert run(tiny_data, tmp_path / "run", "--num_epochs", "2", "--tensorboard") == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"loss", "val_loss", "sequence_accuracy", "lr"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("val_loss")) == 2
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


def test_without_tensorboard_the_pip_line_is_named(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install -r requirements-tensorboard.txt"):
        curves.need_tensorboard()
    with pytest.raises(UserError, match="pip install -r requirements-tensorboard.txt"):
        run(tiny_data, tmp_path / "run", "--tensorboard")
    assert not (tmp_path / "run").exists()

"""Training by several processes: the same as by one, and together in all that they decide."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch
from many_ranks import HERE, started, train_on
from small_run import SMALL, run, weights

import train
from utils.checkpoint import load_checkpoint
from utils.ranks import Ranks
from utils.training import stop
from utils.training.saving import load_last
from utils.training.stop import StopRequest

EXACT = ["--no-amp", "--dropout", "0", "--scheduler", "constant"]
EXACT += ["--fresh", "0.5", "--renderer", "package", "--early_stop", "0", "--lr", "1e-3"]


def told(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().splitlines()]


def test_two_ranks_learn_as_one_does(tiny_data: Path, trained: Path, tmp_path: Path) -> None:
    """51 steps; BatchNorm stands still, as each rank has other pictures."""
    flags = [*EXACT, "--init_from", str(trained / "best.pth")]
    flags += ["--epoch_size", "68", "--num_epochs", "3"]
    losses = []
    for ranks, batch_size, accumulate in ((1, 4, 1), (2, 2, 1), (2, 1, 2), (3, 2, 1)):
        path = tmp_path / f"losses {len(losses)}"
        done = train_on(
            ranks, tiny_data, tmp_path / f"{len(losses)}", *flags, "--batch_size", str(batch_size),
            "--accumulate", str(accumulate), losses=str(path), still=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        losses.append(told(path))
    one, two, added, six = losses
    assert len(one) == len(two) == len(added) == 51
    assert one == pytest.approx(two, abs=1e-4)
    assert one == pytest.approx(added, abs=1e-4)
    assert one[: len(six)] != pytest.approx(six, abs=1e-4)  # six pictures a step
    header = load_checkpoint(tmp_path / "1" / "best.pth").header
    assert (header.train["world_size"], header.train["global_batch_size"]) == (2, 4)
    assert "a step: 6 pictures, 2 on each of 3 ranks" in done.stdout
    assert done.stdout.count("charset digits") == 1  # rank 0 alone tells


def test_batches_that_are_added_up_are_one(tiny_data: Path, trained: Path, tmp_path: Path) -> None:
    flags = [*EXACT, "--init_from", str(trained / "best.pth"), "--freeze_backbone", "all"]
    flags += ["--num_epochs", "2"]
    assert run(tiny_data, tmp_path / "whole", *flags, "--batch_size", "5") == 0
    split = ["--batch_size", "2", "--accumulate", "3"]
    assert run(tiny_data, tmp_path / "six", *flags, "--batch_size", "6") == 0
    assert run(tiny_data, tmp_path / "split", *flags, *split) == 0
    whole, other = weights(tmp_path / "six" / "last.pth"), weights(tmp_path / "split" / "last.pth")
    for name, value in whole.items():
        torch.testing.assert_close(other[name], value, atol=1e-4, rtol=0)
    five = weights(tmp_path / "whole" / "last.pth")
    assert not all(torch.allclose(five[name], value, atol=1e-4) for name, value in whole.items())


@pytest.mark.parametrize("grad_comm", ["fp32", "bf16", "powersgd", "local_sgd"])
def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_by_all(
    tiny_data: Path, tmp_path: Path, grad_comm: str
) -> None:
    """After the first 20 steps, which share whole gradients; and all end with the same weights."""
    done = train_on(
        2, tiny_data, tmp_path / "run", "--num_epochs", "2", "--epoch_size", "36",
        "--batch_size", "1", "--grad_comm", grad_comm, "--average_every", "5",
        "--save_every_steps", "7",
        nan_on=1, at=25, weights=str(tmp_path / "weights"), machines=grad_comm == "local_sgd",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gradient was not finite: 1" in done.stdout
    one, other = told(tmp_path / "weights0"), told(tmp_path / "weights1")
    assert len(one) == len(other) > 6
    assert one == pytest.approx(other, rel=1e-9)
    assert len(set(one)) > 6  # it went on learning
    assert all(value.isfinite().all() for value in weights(tmp_path / "run" / "last.pth").values())


def test_a_stop_that_one_rank_is_asked_for_stops_all_after_the_same_step(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the run goes on with another number of ranks, which is told."""
    save_dir = tmp_path / "run"
    flags = ["--num_epochs", "3", "--batch_size", "1"]
    done = train_on(2, tiny_data, save_dir, *flags, stop_on=1, at=7)
    assert done.returncode != 0
    assert f"stopped by {signal.Signals.SIGTERM.name} in epoch 2" in done.stdout
    training = load_checkpoint(save_dir / "last.pth").training
    assert training is not None
    assert (training["progress"]["epoch"], training["progress"]["step"]) == (1, 5)
    assert train.main(["--resume", "auto", "--save_dir", str(save_dir)]) == 0
    assert "steps had 2 pictures before, and have 1 now" in capsys.readouterr().out
    history = (save_dir / "history.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in history] == ["pictures", "12", "24", "36"]


def step_of(path: Path) -> int:
    training = load_last(path).training  # it may be under way
    assert training is not None
    return training["progress"]["step"]


def test_a_scheduler_s_sigterm_leaves_a_state_within_ten_seconds(
    tiny_data: Path, tmp_path: Path
) -> None:
    last = tmp_path / "run" / "last.pth"
    words = ["--data_root", str(tiny_data), "--save_dir", str(last.parent), *SMALL]
    words += ["--num_epochs", "100000", "--epoch_size", "100000", "--fresh", "1"]
    words += ["--save_every_steps", "20", "--renderer", "package"]
    with started(2, HERE.parent / "train.py", *words) as process:
        while not last.exists() and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, process.communicate()
        before, asked = step_of(last), time.time()
        process.terminate()  # torchrun, which tells the ranks
        out, _ = process.communicate(timeout=60)
        assert last.stat().st_mtime - asked < 10
    assert "stopped by SIGTERM in epoch 1" in out
    assert step_of(last) > before


def test_a_rank_that_is_killed_starts_again_with_the_others(
    tiny_data: Path, tmp_path: Path
) -> None:
    save_dir = tmp_path / "run"
    flags = ["--num_epochs", "3", "--batch_size", "1", "--save_every_steps", "1"]
    done = train_on(2, tiny_data, save_dir, *flags, "--resume", "auto", restarts=1,
                    kill_on=1, at=9, once=str(tmp_path / "killed"))  # fmt: skip
    assert (tmp_path / "killed").exists()
    assert done.returncode == 0, done.stderr
    history = (save_dir / "history.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in history] == ["pictures", "12", "24", "36"]


def test_what_ranks_cannot_do_is_told_once_and_ends_them_all(
    tiny_data: Path, tmp_path: Path
) -> None:
    for flags, asked, sentence in (
        (["--batch_size", "0"], {}, "error: --batch_size 0: expected"),
        (["--sync_batchnorm"], {}, "error: --sync_batchnorm: torch has none for cpu"),
        ([], {"no_data_on": 1}, "error: rank 1: data root nowhere: no such folder"),
        ([], {"no_data_on": 0}, "error: rank 0: data root nowhere: no such folder"),
    ):
        done = train_on(2, tiny_data, tmp_path / "run", *flags, **asked)
        assert done.returncode != 0
        assert done.stderr.count(sentence) == 1, done.stderr
        assert 'train.py", line' not in done.stderr  # no traceback of ours
    assert not (tmp_path / "run").exists()


def test_a_machine_without_the_state_is_told(
    tiny_data: Path, trained: Path, tmp_path: Path
) -> None:
    done = train_on(2, tiny_data, trained, "--resume", "auto", "--num_epochs", "2", no_run_on=1)
    assert done.returncode != 0
    assert "rank 0: epoch 3, step 0; rank 1: epoch 1, step 0" in done.stderr
    assert "must be one folder that all machines share" in done.stderr


def test_the_rate_grows_with_the_batches_of_a_step(tiny_data: Path, tmp_path: Path) -> None:
    flags = ["--num_epochs", "1", "--accumulate", "4", "--batch_size", "1", "--lr", "1e-3"]
    flags += ["--scheduler", "constant", "--warmup", "0"]
    for kind, rate in (("none", 1e-3), ("sqrt", 2e-3), ("linear", 4e-3)):
        assert run(tiny_data, tmp_path / kind, *flags, "--scale_lr", kind) == 0
        training = load_checkpoint(tmp_path / kind / "last.pth").training
        assert training is not None
        assert training["progress"]["history"][0]["lr"] == pytest.approx(rate)


def test_only_a_second_ctrl_c_stops_at_once() -> None:
    """Schedulers send SIGTERM to torchrun and to its ranks, and torchrun hands it on."""
    with StopRequest() as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert stop.agreed()
        assert stop.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ranks_look_at_each_other_sooner_where_steps_are_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, took = 0.0, 0.1
    monkeypatch.setattr(stop.time, "monotonic", lambda: now)
    two = Ranks(0, 2)
    monkeypatch.setattr(Ranks, "everyones", lambda _, own: [own, (0, took)])  # the other's pace
    request, looks = StopRequest(two, most_steps=5), []
    for step in range(1, 31):
        now += 0.1
        took = 0.1 if step < 12 else 1.0 if step < 20 else 60.0
        if request.due():
            assert not request.agreed()
            looks.append(step)
    assert looks == [5, 10, 15, 17, 19, 21, *range(22, 31)]

"""A first lesson of few characters."""

from __future__ import annotations

import re
import signal

import pytest
import torch
from test_line_sets import CHARACTERS, charset_file, fonts, make, trained  # noqa: F401
from test_train_resume import assert_equal_weights
from torch import nn

import train
from models.losses import chunked_ctc_loss, full_ctc_loss
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.picture import ImageSpec
from utils.synth.lines import LineRecipe
from utils.text.charset import Charset
from utils.training import state
from utils.training.batch import Block
from utils.training.curriculum import Lesson, one_of_each
from utils.training.pictures import TrainingPictures

CHARSET = Charset(CHARACTERS, "stems")


def test_a_lesson_lasts_for_its_epochs():
    lesson = Lesson(CHARSET, CHARACTERS, 3, 2, 0)
    assert [lesson.lasts(epoch) for epoch in range(4)] == [True, True, False, False]
    assert not Lesson(CHARSET, CHARACTERS, 0, 2, 0).lasts(0)
    assert [lesson.ends_before(epoch) for epoch in range(4)] == [False, False, True, False]
    assert not Lesson(CHARSET, CHARACTERS, 0, 0, 0).ends_before(0)
    found = [lesson.schedule(step, 50, 10) for step in (0, 19, 20, 49)]
    assert found == [(0, 20), (19, 20), (0, 30), (29, 30)]
    assert Lesson(CHARSET, CHARACTERS, 0, 2, 0).schedule(19, 50, 10) == (19, 50)
    assert lesson.schedule(3, 15, 10) == (3, 15)
    assert len(set(lesson.characters)) == 3
    assert set(lesson.characters) < set(CHARACTERS)
    assert lesson.characters == Lesson(CHARSET, CHARACTERS, 3, 9, 0).characters
    assert len({Lesson(CHARSET, CHARACTERS, 3, 1, seed).characters for seed in range(9)}) > 5


@pytest.mark.parametrize("loss", [full_ctc_loss, chunked_ctc_loss])
def test_the_loss_is_that_of_its_classes_alone(loss):
    torch.manual_seed(0)
    lesson = Lesson(CHARSET, CHARACTERS, 3, 1, 0)
    features = torch.randn(2, 9, 6)
    heads = [nn.Linear(6, CHARSET.num_classes), nn.Linear(6, CHARSET.num_classes)]
    known = sorted(CHARSET.encode(lesson.characters))
    targets = torch.tensor([[known[2], known[0]], [known[1], known[1]]])
    lengths, sizes = torch.tensor([9, 7]), torch.tensor([2, 2])
    (head, second), places = lesson.of(heads, targets)
    assert places.tolist() == [[3, 1], [2, 2]]
    assert second.weight.shape == (4, 6)
    found = loss(features, head, lengths, places, sizes)
    alone = nn.Linear(6, 4)
    with torch.no_grad():
        alone.weight.copy_(heads[0].weight[[0, *known]])
        alone.bias.copy_(heads[0].bias[[0, *known]])
    torch.testing.assert_close(found, full_ctc_loss(features, alone, lengths, places, sizes))
    found.backward()
    moved = heads[0].weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert moved == [0, *known]


def test_its_lines_are_of_its_characters(fonts):  # noqa: F811
    recipe = LineRecipe(CHARACTERS, "stems", 1, 4, 32, 128, fonts)
    lesson = Lesson(CHARSET, CHARACTERS, 3, 2, 5)
    pictures = TrainingPictures([], ImageSpec(32, 128), CHARSET, 0, recipe, 1.0, lesson=lesson)
    seen = [
        {
            CHARACTERS[label - 1]
            for row, size in zip(batch.targets, batch.target_lengths, strict=True)
            for label in row[:size].tolist()
        }
        for batch in (pictures[Block(epoch, 0, list(range(40)))] for epoch in (0, 1, 2))
    ]
    assert seen[0] == seen[1] == set(lesson.characters)
    assert seen[2] == set(CHARACTERS)


def test_a_training_with_a_first_lesson(tmp_path, charset_file, fonts, capsys):  # noqa: F811
    data, more = tmp_path / "set", ("--split_ratio", "0", "1", "0")
    assert make(data, charset_file, fonts, *more) == 0
    flags = ("--fresh", "1", "--first_characters", "3", "--num_epochs", "2")
    assert trained(data, tmp_path / "run", *flags) == 0
    assert re.search(r"first 1 epochs know 3 of 8 characters: \w{3}", capsys.readouterr().out)
    assert load_checkpoint(tmp_path / "run/last.pth").header.charset.characters == CHARACTERS
    with pytest.raises(
        UserError,
        match="8: expected fewer than the 8 of charset stems that",
    ):
        trained(data, tmp_path / "run", *flags[:2], *flags[4:], "--first_characters", "8")


def test_a_run_that_stopped_in_a_lesson_ends_with_the_same_weights(
    tmp_path,
    charset_file,  # noqa: F811
    fonts,  # noqa: F811
    monkeypatch,
):
    """At the end of the first lesson, where the optimizer begins anew, and in its middle."""
    data, more = tmp_path / "set", ("--split_ratio", "0", "1", "0")
    assert make(data, charset_file, fonts, *more) == 0
    flags = ("--fresh", "1", "--first_characters", "3", "--num_epochs", "2")  # of three steps
    assert trained(data, tmp_path / "whole", *flags) == 0
    count_step = state.Progress.count_step
    for last in (2, 3, 4):
        steps = []

        def count_and_stop(progress: state.Progress, pictures: int, last=last, steps=steps) -> None:
            count_step(progress, pictures)
            steps.append(pictures)
            if len(steps) == last:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(state.Progress, "count_step", count_and_stop)
            assert trained(data, tmp_path / f"{last}", *flags) == 128 + signal.SIGTERM
        assert train.main(["--resume", str(tmp_path / f"{last}/last.pth")]) == 0
        assert_equal_weights(tmp_path / "whole/last.pth", tmp_path / f"{last}/last.pth")


def test_a_lesson_without_lines_is_told(tiny_data, tmp_path):
    flags = ("--fresh", "1", "--first_characters", "3", "--num_epochs", "2")
    with pytest.raises(UserError, match="--first_characters 3: it goes with a set of lines"):
        trained(tiny_data, tmp_path / "run", *flags)
    with pytest.raises(UserError, match="--first_characters 3: it goes with --fresh 1"):
        trained(tiny_data, tmp_path / "run", *flags[2:])
    with pytest.raises(UserError, match="--first_epochs 1: of --num_epochs 1 none is left"):
        trained(tiny_data, tmp_path / "run", *flags[:4])


def test_a_lesson_is_of_what_the_recipe_draws(tmp_path, charset_file, fonts):  # noqa: F811
    """Of a charset that knows more, and has one class for two of them."""
    charset = Charset("庚甲乙x人", "more", ("庚辛",))
    drawn = one_of_each(CHARACTERS + " ", charset)
    assert drawn == "甲乙庚"
    lesson = Lesson(charset, drawn, 2, 1, 0)
    recipe = LineRecipe(CHARACTERS, "stems", 1, 4, 32, 128, fonts)
    assert set(lesson.recipe(recipe).characters) < set("甲乙庚")
    [head], places = lesson.of([nn.Linear(4, 6)], torch.tensor([[1, 2], [3, 1]]))
    assert head.weight.shape == (3, 4)
    assert places.shape == (2, 2)

"""inference.py with constraints, beam, language model, rejection, report and comparison."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from lively import SMALL, scribble, write_checkpoint
from torch.nn import functional as F

import inference
import utils.lm
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.recognizer import Recognizer
from utils.show.report import FILES


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """20 time steps, ten digits, and not sure of itself."""
    return write_checkpoint(tmp_path / "a model" / "m.pth", spread=3)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    scribble(5).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def run(model: Path, *words: object) -> int:
    common = ["--model_path", str(model), "--device", "cpu", "--num_threads", "1"]
    return inference.main([*map(str, words), *common])


def read(
    capsys: pytest.CaptureFixture[str], model: Path, picture: Path, *words: object
) -> list[str]:
    assert run(model, "--image_path", picture, *words) == 0
    return capsys.readouterr().out.splitlines()


def text_of(line: str) -> str:
    found = re.fullmatch(r"text: (\S+)   confidence: \d\.\d{4}", line)
    assert found, line
    return found[1]


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
@pytest.mark.parametrize(
    ("flag", "value", "form"),
    [
        ("--length", "3", r"\d{3}"),
        ("--length", "2-3", r"\d{2,3}"),
        ("--allow", "13579", r"[13579]*"),
        ("--pattern", "[12]D9", r"[12]\d9"),
    ],
)
def test_texts_are_as_asked(model, picture, capsys, decoder, flag, value, form):
    [line] = read(capsys, model, picture, flag, value, "--decoder", decoder)
    assert re.fullmatch(form, text_of(line))


def test_a_lexicon(model, picture, capsys, tmp_path: Path):
    (tmp_path / "my words.txt").write_text("1234\n5678\n", encoding="utf-8")
    [line] = read(capsys, model, picture, "--lexicon", tmp_path / "my words.txt")
    assert text_of(line) in ("1234", "5678")


def test_n_best_are_listed_with_their_probabilities(model, picture, capsys):
    lines = read(capsys, model, picture, "--decoder", "beam", "--n_best", 3)
    rivals = [re.fullmatch(r"  (\d)\. (\S+)   (0\.\d{4})", line) for line in lines[1:]]
    assert [rival and rival[1] for rival in rivals] == ["1", "2", "3"]
    assert rivals[0] is not None
    assert rivals[0][2] == text_of(lines[0])


def test_characters_are_listed_with_their_places(model, picture, capsys):
    lines = read(capsys, model, picture, "--characters")
    found = [re.fullmatch(r"  (\d)   [01]\.\d{4}   from (.+)% to (.+)% of the picture", line)
             for line in lines[1:]]  # fmt: skip
    assert "".join(each[1] for each in found if each) == text_of(lines[0])
    places = [float(each[part]) for each in found if each for part in (2, 3)]
    assert places == sorted(places)
    assert places[-1] <= 100


def test_a_rejected_text_is_not_given(model, picture, capsys, tmp_path: Path):
    [line] = read(capsys, model, picture, "--reject_below", "1")
    assert re.fullmatch(r"don't know   confidence: 0\.\d{4}, less than 1; at best: \d+", line)
    folder = tmp_path / "pictures"
    folder.mkdir()
    scribble(1).save(folder / "a.png")
    output = tmp_path / "out.jsonl"
    words = ("--mode", "batch", "--image_dir", folder, "--output_path", output)
    assert run(model, *words, "--reject_below", "1", "--characters") == 0
    row = json.loads(output.read_text(encoding="utf-8"))
    assert (row["text"], row["rejected"]) == ("", True)
    assert [each["text"] for each in row["characters"]] == list(row["guess"])


def test_a_picture_too_narrow_for_every_allowed_text(tmp_path: Path, capsys):
    model = write_checkpoint(tmp_path / "m.pth", image=replace(SMALL, keep_ratio=True))
    folder = tmp_path / "pictures"
    folder.mkdir()
    scribble(1).save(folder / "wide.png")
    scribble(2, width=16).save(folder / "narrow.png")
    six = ("--length", "6")
    assert read(capsys, model, folder / "narrow.png", *six) == [
        "no allowed text goes with this picture"
    ]
    for reject, expected in ("0", ""), ("1", "rejected"):
        output = tmp_path / f"out{reject}.csv"
        words = ("--mode", "batch", "--image_dir", folder, "--output_path", output)
        assert run(model, *words, *six, "--reject_below", reject) == 0
        rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
        assert [row["remark"] for row in rows] == ["no allowed text", expected]
        assert [bool(row["text"]) for row in rows] == [False, reject == "0"]
        assert "0 bad, 1 no allowed text, " in capsys.readouterr().out.replace("1 rejected, ", "")
    assert run(model, *words[:-1], tmp_path / "out.jsonl", *six) == 0
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("fits") for line in lines] == [False, None]


def test_a_language_model(model, picture, capsys, tmp_path: Path):
    (tmp_path / "corpus.txt").write_text("7777777\n" * 50, encoding="utf-8")
    lm = tmp_path / "lm.json"
    words = [str(tmp_path / "corpus.txt"), "--charset", "digits", "--output_path", str(lm)]
    assert utils.lm.main(words) == 0
    capsys.readouterr()
    beam = ("--decoder", "beam", "--lm", lm)
    [weak] = read(capsys, model, picture, *beam, "--lm_weight", "0")
    [plain] = read(capsys, model, picture, "--decoder", "beam")
    [strong] = read(capsys, model, picture, *beam, "--lm_weight", "50")
    assert weak == plain
    assert set(text_of(strong)) == {"7"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--allow", "12a"], "--allow 12a: 'a' is not in charset custom"),
        (["--pattern", "L"], "charset custom has no character for L"),
        (["--length", "21"], "takes 21 time steps, and the widest picture of this model has 20"),
        (["--length", "2", "--pattern", "DDD"], "no text is allowed by all of the constraints"),
        (["--lexicon", "none.txt"], "--lexicon none.txt: no such file"),
        (["--lm", "none.json", "--decoder", "beam"], "--lm none.json: no such file"),
        (["--lm", "none.json"], "--lm needs --decoder beam"),
        (["--lm", ""], "--lm : it is empty; leave the flag out"),
        (["--n_best", "2"], "--n_best 2 needs --decoder beam"),
        (["--reject_below", "1.5"], "--reject_below 1.5: expected 0 to 1"),
        (["--alike", "0"], "--alike 0: '0' is no group"),
        (["--compare", "one.pth"], "--compare one.pth: expected two checkpoints"),
    ],
)
def test_what_is_refused(model, picture, words, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        run(model, "--image_path", picture, *words)


def test_a_language_model_of_another_charset(model, picture, tmp_path: Path):
    (tmp_path / "corpus.txt").write_text("abc\n", encoding="utf-8")
    lm = tmp_path / "lm.json"
    assert utils.lm.main([str(tmp_path / "corpus.txt"), "--output_path", str(lm)]) == 0
    with pytest.raises(UserError, match="the language model does not know '0123456789'"):
        run(model, "--image_path", picture, "--decoder", "beam", "--lm", lm)


def test_idle_flags_are_told(model, picture, capsys):
    assert run(model, "--image_path", picture, "--beam_width", 3, "--lm_weight", 1) == 0
    told = capsys.readouterr().err
    assert "--beam_width has no effect without --decoder beam" in told
    assert "--lm_weight has no effect without --lm" in told


def test_confidence_is_that_of_the_divided_logits(tmp_path: Path, picture: Path):
    """exp(-CTC loss), under log_probs after the temperature."""
    model = write_checkpoint(tmp_path / "sure.pth", spread=40)
    checkpoint = load_checkpoint(model)
    save_checkpoint(model, replace(checkpoint.header, temperature=2.5), checkpoint.state_dict)
    plain, divided = Recognizer.load(model, "cpu"), Recognizer.load(model, "cpu")
    plain.network.temperature = 1.0
    [output] = plain.batches([picture])
    [prediction] = divided.read([picture])
    import torch

    log_probs = (torch.from_numpy(output.log_probs).double() / 2.5).log_softmax(dim=2)
    target = torch.tensor([divided.charset.encode(prediction.text)])
    loss = F.ctc_loss(log_probs.transpose(0, 1), target, torch.tensor([log_probs.shape[1]]),
                      torch.tensor([target.shape[1]]), reduction="sum")  # fmt: skip
    assert prediction.confidence > 0.01
    assert prediction.confidence == pytest.approx(float((-loss).exp()), rel=1e-4)
    assert prediction.confidence != pytest.approx(plain.read([picture])[0].confidence, rel=0.1)


def test_a_report_and_a_comparison(model, tiny_data: Path, tmp_path: Path, capsys):
    report = tmp_path / "my report"
    words = ("--mode", "evaluate", "--data_root", tiny_data, "--report", report)
    assert run(model, *words, "--alike", "01,23") == 0
    printed = capsys.readouterr().out
    assert f"report: {report / 'report.html'}, with metrics.json" in printed
    assert "with 01, 23 as one each:" in printed
    assert {path.name for path in report.iterdir()} == set(FILES)
    other = write_checkpoint(tmp_path / "other.pth", spread=9)
    common = ["--device", "cpu", "--num_threads", "1", "--compare", str(model), str(other)]
    assert inference.main([*map(str, words), *common]) == 0
    printed = capsys.readouterr().out
    assert f"A: {model}:" in printed
    assert f"B: {other}:" in printed
    assert "exact McNemar test: p = " in printed
    assert (report / "comparison.html").is_file()


def test_a_set_of_bad_pictures_alone(model, tiny_data: Path):
    for path in (tiny_data / "test").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="not one of the 6 pictures can be read"):
        run(model, "--mode", "evaluate", "--data_root", tiny_data, "--max_bad_rows", 6)

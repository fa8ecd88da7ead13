"""inference.py --mode batch in parts: killed, resumed, by several ranks; always the same file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lively import scribble, write_checkpoint
from many_ranks import HERE, torchrun

import inference
from utils import parts
from utils.errors import UserError

COUNT = 23


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """23 pictures, of which the 5th cannot be read, and a reader."""
    pictures = tmp_path / "many pictures"
    pictures.mkdir()
    for index in range(COUNT):
        scribble(index).save(pictures / f"{index}.png")
    (pictures / "5.png").write_bytes(b"no picture")
    write_checkpoint(tmp_path / "model.pth")
    return pictures


def flags(folder: Path, output: Path, *more: str) -> list[str]:
    model = str(folder.parent / "model.pth")
    return ["--mode", "batch", "--image_dir", str(folder), "--model_path", model, "--part_size",
            "4", "--output_path", str(output), "--num_threads", "1", *more]  # fmt: skip


def stopped(folder: Path, output: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed after some parts."""
    write = parts.Parts.write

    def killed(own: parts.Parts, part: int, cases: list) -> None:
        if part == after:
            raise MemoryError
        write(own, part, cases)

    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "write", killed)
        with pytest.raises(MemoryError):
            inference.main(flags(folder, output))
    return output.with_name(f"{output.name}.parts")


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
def test_a_killed_run_goes_on_and_reads_nothing_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], ending: str,
) -> None:  # fmt: skip
    whole, broken = tmp_path / f"whole{ending}", tmp_path / f"broken{ending}"
    assert inference.main(flags(folder, whole)) == 0
    assert len(whole.read_text().splitlines()) == COUNT + (ending == ".csv")
    left = stopped(folder, broken, 3, monkeypatch)
    assert len(list(left.glob("0*.json"))) == 3
    assert not broken.exists()
    written, write = [], parts.Parts.write

    def told(own: parts.Parts, part: int, cases: list) -> None:
        written.append(part)
        write(own, part, cases)

    monkeypatch.setattr(parts.Parts, "write", told)
    capsys.readouterr()
    assert inference.main(flags(folder, broken, "--resume")) == 0
    assert written == [3, 4, 5]
    assert broken.read_bytes() == whole.read_bytes()
    assert not left.exists()
    shown = capsys.readouterr()
    assert "3 of 6 parts were there" in shown.out
    assert "read 22 pictures, 1 bad" in shown.out
    assert shown.err.count("bad: 5.png") == 1


def test_parts_that_are_there_are_never_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "texts.tsv"
    left = stopped(folder, output, 2, monkeypatch)
    with pytest.raises(UserError, match="2 of 6 parts there; add --resume"):
        inference.main(flags(folder, output))
    for change, name in ((["--allow", "123"], "allow"), (["--part_size", "5"], "part_size")):
        with pytest.raises(UserError, match=f"--resume: {name} changed"):
            inference.main(flags(folder, output, "--resume", *change))
    write_checkpoint(folder.parent / "model.pth", "abc")
    with pytest.raises(UserError, match="models changed"):
        inference.main(flags(folder, output, "--resume"))
    scribble(99).save(folder / "one more.png")
    with pytest.raises(UserError, match="pictures, names, models changed"):
        inference.main(flags(folder, output, "--resume"))
    assert len(list(left.glob("0*.json"))) == 2


def test_damaged_parts_are_told_and_parts_of_no_run_are_not_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "texts.tsv"
    left = stopped(folder, output, 2, monkeypatch)
    (left / "000001.json").write_text("")
    with pytest.raises(UserError, match="000001.json: damaged; delete it, and go on with"):
        inference.main(flags(folder, output, "--resume"))
    whole = (left / "run.json").read_text()
    for damage in (whole[: len(whole) // 2], "[]"):
        (left / "run.json").write_text(damage)
        with pytest.raises(UserError, match="run.json: damaged; delete"):
            inference.main(flags(folder, output, "--resume"))
    (left / "run.json").unlink()
    assert inference.main(flags(folder, output)) == 0
    assert inference.main(flags(folder, tmp_path / "whole.tsv")) == 0
    assert output.read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_a_run_that_has_nothing_to_show_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not stopped(folder, tmp_path / "texts.tsv", 0, monkeypatch).exists()
    assert inference.main(flags(folder, tmp_path / "texts.tsv", "--resume")) == 0


def test_ranks_read_in_turn_and_write_the_file_that_one_would(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, shared = tmp_path / "whole.tsv", tmp_path / "shared.tsv"
    assert inference.main(flags(folder, whole)) == 0
    stopped(folder, shared, 1, monkeypatch)
    done = torchrun(3, HERE.parent / "inference.py", *flags(folder, shared, "--resume"))
    assert done.returncode == 0, done.stderr
    assert shared.read_bytes() == whole.read_bytes()
    assert done.stdout.count("read 22 pictures") == 1
    assert done.stderr.count("bad: 5.png") == 1


def test_two_runs_do_not_write_one_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write = tmp_path / "texts.tsv", parts.Parts.write

    def with_another(own: parts.Parts, part: int, cases: list) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(parts.Parts, "write", write)
            with pytest.raises(UserError, match="another run is writing it"):
                inference.main(flags(folder, output, "--resume"))
        write(own, part, cases)

    monkeypatch.setattr(parts.Parts, "write", with_another)
    assert inference.main(flags(folder, output)) == 0
    assert list(tmp_path.glob("texts*")) == [output]


def test_files_of_others_in_its_folder_stay(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "texts.tsv.parts"
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    assert inference.main(flags(folder, tmp_path / "texts.tsv")) == 0
    assert [path.name for path in own.iterdir()] == ["notes.txt"]


def test_a_smaller_batch_may_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory was full."""
    whole, output = tmp_path / "whole.tsv", tmp_path / "texts.tsv"
    assert inference.main(flags(folder, whole)) == 0
    stopped(folder, output, 2, monkeypatch)
    assert inference.main(flags(folder, output, "--resume", "--batch_size", "1")) == 0
    texts = [[line.split("\t")[:2] for line in path.read_text("utf-8").splitlines()]
             for path in (whole, output)]  # fmt: skip
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("mode", "flag", "value", "told"),
    [
        ("batch", "--allow", "12", "the ranks differ in allow;"),
        ("evaluate", "--allow", "12", "the ranks differ in allow;"),
        ("evaluate", "--data_root", "other", "the ranks differ in the labelled set;"),
        ("batch", "--output_path", "other/texts.tsv", "not where rank 0 writes"),
    ],
)
def test_ranks_that_differ_read_nothing(
    folder: Path, tmp_path: Path, mode: str, flag: str, value: str, told: str
) -> None:
    (folder / "labels.txt").write_text("1.png\t112\n", encoding="utf-8")
    other = tmp_path / "other"
    other.mkdir()
    scribble(1).save(other / "1.png")
    (other / "labels.txt").write_text("1.png\t12\n", encoding="utf-8")
    script = tmp_path / "differ.py"
    more = [flag, value if flag == "--allow" else str(tmp_path / value)]
    script.write_text(
        "import os, sys\n"
        f"sys.argv += {more!r} if os.environ['RANK'] == '1' else []\n"
        "import inference, utils.errors, utils.parts\n"
        "utils.parts.SHARED_WITHIN = 1\n"
        "sys.exit(utils.errors.run_script(inference.main))\n"
    )
    words = ["--mode", mode, "--model_path", str(tmp_path / "model.pth")]
    words += ["--image_dir" if mode == "batch" else "--data_root", str(folder)]
    words += ["--output_path", str(tmp_path / "texts.tsv")] if mode == "batch" else []
    done = torchrun(2, script, *words)
    assert done.returncode != 0
    assert done.stderr.count(told) == 1
    assert "utils/" not in done.stderr  # no traceback
    assert not list(tmp_path.glob("**/texts.tsv*"))


def test_ranks_count_what_one_counts(folder: Path, tmp_path: Path) -> None:
    """Evaluation by 1, 2 and 3: the same integers of 1,001 pictures."""
    names = [f"{index}.png" for index in range(1002) if index != 5]
    for index in range(COUNT, 1002):
        scribble(index).save(folder / f"{index}.png")
    rows = "".join(f"{name}\t{index % 10}12\n" for index, name in enumerate(names))
    (folder / "labels.txt").write_text(rows, encoding="utf-8")
    found = []
    for ranks in (1, 2, 3):
        output = tmp_path / f"{ranks}.json"
        words = ["--mode", "evaluate", "--data_root", str(folder), "--output_path", str(output),
                 "--model_path", str(folder.parent / "model.pth")]  # fmt: skip
        done = torchrun(ranks, HERE.parent / "inference.py", *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("sequence accuracy") == 1
        content = json.loads(output.read_text("utf-8"))
        texts = [(case["file"], case["text"]) for case in content["cases"]]
        counted = ("metrics", "by_length", "by_position", "by_class", "confusions")
        found.append([texts, *(content[name] for name in counted)])
    assert len(found[0][0]) == found[0][1]["n"] == 1001
    assert found[0] == found[1] == found[2]


def test_what_no_rank_can_read_is_told_once(tmp_path: Path) -> None:
    words = ["--mode", "batch", "--image_dir", str(tmp_path / "nowhere")]
    done = torchrun(2, HERE.parent / "inference.py", *words)
    assert done.returncode != 0
    assert done.stderr.count("no such folder") == 1

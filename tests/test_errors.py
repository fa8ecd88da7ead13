"""run_script: what a script's user sees, and with which exit code."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from utils.errors import UserError, run_script
from utils.files import atomic_write


def raiser(error: BaseException):
    def main() -> int:
        raise error

    return main


def test_a_script_that_works_keeps_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(lambda: 0) == 0
    assert run_script(lambda: 1) == 1
    assert capsys.readouterr().err == ""


def test_every_sentence_of_a_user_error_gets_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(raiser(UserError("one thing\nand another"))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": error: ")[1] for line in lines] == ["one thing", "and another"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_one_sentence(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, "no room", "model.pth")
    assert run_script(raiser(error)) == 2
    assert "error: cannot use model.pth: no room" in capsys.readouterr().err


def test_a_full_disk_is_told_with_the_name_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(error: OSError) -> int:
        with atomic_write(tmp_path / "out.png"):
            raise error

    assert run_script(lambda: write(OSError(errno.ENOSPC, "full"))) == 2
    assert f"cannot use {tmp_path / 'out.png'}: full; make room there" in capsys.readouterr().err
    with pytest.raises(OSError, match="cannot write mode F"):  # a bug of ours
        run_script(lambda: write(OSError("cannot write mode F as PNG")))


def test_a_package_that_a_small_environment_lacks_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_script(raiser(ModuleNotFoundError("No module", name="torch"))) == 2
    assert "the package torch is missing" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        run_script(raiser(ModuleNotFoundError("No module", name="utils.nothing")))


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(raiser(KeyboardInterrupt())) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_bug_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(raiser(ZeroDivisionError()))
    with pytest.raises(OSError, match="something else"):
        run_script(raiser(OSError(errno.EIO, "something else")))


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "the GPU's"),
        (MemoryError(), "the machine's"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't "
                      "allocate memory: you tried to allocate 4 bytes."), "the machine's"),
    ],
)  # fmt: skip
def test_where_memory_is_full_the_batch_size_is_named(
    error: Exception, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script(raiser(error)) == 2
    assert f"error: {whose} memory is full; give a smaller --batch_size" in capsys.readouterr().err


def test_another_error_of_torch_is_not_taken_for_full_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run_script(raiser(RuntimeError("shapes differ")))

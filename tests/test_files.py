"""Files that appear whole or not at all, names in natural order, and folders of pictures."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from utils.errors import UserError
from utils.files import (
    atomic_write,
    check_output_file,
    find_pictures,
    natural_key,
    remove_leftovers,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("flushed", [True, False])
def test_a_file_appears_when_it_is_complete(tmp_path: Path, flushed):
    path = tmp_path / "a new folder" / "file.bin"
    with atomic_write(path, flushed) as file:
        file.write(b"first")
        assert not path.exists()
        assert len(names(path.parent)) == 1
    assert path.read_bytes() == b"first"
    with atomic_write(str(path), flushed) as file:
        file.write(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch, call):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_text(path, "new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path):
    write_text(tmp_path / "text.txt", "é京\nb\n")
    assert (tmp_path / "text.txt").read_bytes() == "é京\nb\n".encode()


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path):
    leftover = tmp_path / f".best.pth.{os.getpid()}.tmp"
    kept = [tmp_path / name for name in ("best.pth", "notes.tmp", ".hidden", ".mine.tmp")]
    for path in (leftover, *kept):
        path.touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(path.name for path in kept)


def test_the_temporary_name_is_one_that_is_removed_later(tmp_path: Path):
    with atomic_write(tmp_path / "a b.png"):
        (temporary,) = names(tmp_path)
    (tmp_path / temporary).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a b.png"]


def test_output_files_that_cannot_be(tmp_path: Path):
    (tmp_path / "file").touch()
    check_output_file(tmp_path / "file")
    check_output_file(tmp_path / "new" / "deep" / "file.txt")
    check_output_file("file in the current folder.txt")
    with pytest.raises(UserError, match="it is a folder; give the name of a file"):
        check_output_file(tmp_path)
    for below in ("file/x.txt", "file/deep/x.txt"):
        with pytest.raises(UserError, match=r"file is a file, not a folder; choose another path"):
            check_output_file(tmp_path / below)
    with pytest.raises(UserError, match="it is a folder"):
        write_text(tmp_path, "text")
    assert names(tmp_path) == ["file"]


def test_natural_order():
    ordered = ["1.png", "2.png", "10.png", "a1b2.png", "a1b10.png", "a2.png", "B3.png", "c.png"]
    paths = [Path(name) for name in reversed(ordered)]
    assert [path.name for path in sorted(paths, key=natural_key)] == ordered


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of several kinds, in the folder and below it, with files that are none."""
    folder = tmp_path / "some pictures"
    for name in ("img10.png", "img2.PNG", "img1.jpg", "x.webp", "sub/img3.bmp", "sub.png/a.gif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            Image.new("L", (8, 8)).save(
                file, Image.registered_extensions()[Path(name).suffix.lower()]
            )
    for name in ("labels.txt", "paper.pdf", "png", ".png"):
        (folder / name).write_bytes(b"text")
    return folder


def test_find_pictures(pictures: Path):
    found = find_pictures(pictures)
    assert [path.name for path in found] == ["img1.jpg", "img2.PNG", "img10.png", "x.webp"]
    assert found == find_pictures(str(pictures))
    everywhere = [p.relative_to(pictures).as_posix() for p in find_pictures(pictures, True)]
    assert everywhere == [
        "img1.jpg",
        "img2.PNG",
        "img10.png",
        "sub.png/a.gif",
        "sub/img3.bmp",
        "x.webp",
    ]


def test_names_that_are_naturally_equal_have_one_order(tmp_path: Path, monkeypatch):
    """Whatever order the file system lists them in."""
    ordered = [tmp_path / name for name in ("img001.png", "img01.png", "img1.png", "img2.png")]
    for path in ordered:
        path.touch()
    for listing in (ordered, ordered[::-1]):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", lambda _, listing=listing: iter(listing))
            found = find_pictures(tmp_path)
        assert found == ordered


def test_folders_without_pictures_are_named(tmp_path: Path):
    (tmp_path / "file.png").touch()
    (tmp_path / "empty").mkdir()
    for path, sentence in (
        (tmp_path / "nowhere", "nowhere: no such folder; expected a folder with pictures"),
        (tmp_path / "file.png", "file.png: it is a file; expected a folder with pictures"),
        (tmp_path / "empty", "no pictures in this folder; --recursive also looks into"),
    ):
        with pytest.raises(UserError, match=sentence):
            find_pictures(path)
    with pytest.raises(UserError, match="no pictures in this folder$"):
        find_pictures(tmp_path / "empty", recursive=True)

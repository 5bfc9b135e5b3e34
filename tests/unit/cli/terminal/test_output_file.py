from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from emulator.cli.status import OutputError
from emulator.cli.terminal.output_file import check_writable, whole_file

if TYPE_CHECKING:
    from pathlib import Path


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_and_fail(name: str, error: BaseException) -> None:
    with whole_file(name) as stream:
        stream.write(b"new")
        raise error


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with whole_file(str(path)) as stream:
        stream.write(b"new")
        stream.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["out"]


def test_it_has_the_rights_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with whole_file(str(tmp_path / "out")):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), BrokenPipeError()])
def test_what_was_there_stays_when_the_work_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_and_fail(str(path), error)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with (
        pytest.raises(OutputError, match=f"^cannot write {path}: No space left on device$"),
        whole_file(str(path)),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names_in(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    name = str(tmp_path / "none" / "out")
    with (
        pytest.raises(OutputError, match=f"^cannot write {name}: No such file or directory$"),
        whole_file(name),
    ):
        pass


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=f"^cannot write {tmp_path}: Is a directory$"),
        whole_file(str(tmp_path)),
    ):
        pass


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = (
        tmp_path / "pipe"
    )  # never a real device: a defect here, run as root, would replace it for everybody
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with whole_file(str(pipe)) as stream:
            stream.write(b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with whole_file(str(tmp_path / "link")) as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_whether_a_file_can_be_written_is_checked_before(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new"))
    (tmp_path / "old").write_bytes(b"old")
    check_writable(str(tmp_path / "old"))
    check_writable("/dev/null")
    assert names_in(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("none/out", "No such file or directory"), ("", "Is a directory"), ("file/out", "Not a directory")],
)
def test_where_nothing_can_be_written(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").touch()
    path = f"{tmp_path}/{name}"
    with pytest.raises(OutputError) as caught:
        check_writable(path)
    assert str(caught.value) == f"cannot write {path}: {problem}"

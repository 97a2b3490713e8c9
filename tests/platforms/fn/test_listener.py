"""The two files of the socket: how they appear, what may lie in the way, how they go."""

import os
import socket
import stat
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.platforms.fn.listener import FnListener


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("io")


def check(path: Path) -> None:
    """Do what the agent does when the name appears."""
    target = os.readlink(path)
    assert os.path.dirname(target) == ""
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) & 0o666 == 0o666
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(str(path))


def test_open_and_close(folder: Path) -> None:
    path = folder / "lsnr.sock"
    listener = FnListener(str(path))
    listener.open()
    check(path)
    assert sorted(os.listdir(folder)) == ["lsnr.sock", "phonylsnr.sock"]
    listener.close()
    listener.close()
    assert os.listdir(folder) == []


def test_the_umask_does_not_matter(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        listener = FnListener(str(folder / "lsnr.sock"))
        listener.open()
    finally:
        os.umask(before)
    check(folder / "lsnr.sock")
    listener.close()


@pytest.mark.parametrize(
    "left", [["lsnr.sock"], ["phonylsnr.sock"], ["lsnr.sock", "phonylsnr.sock"]]
)
@pytest.mark.parametrize("kind", ["socket", "file", "dangling link"])
def test_what_a_killed_process_left_is_replaced(folder: Path, left: list[str], kind: str) -> None:
    for name in left:
        if kind == "socket":
            socket.socket(socket.AF_UNIX).bind(str(folder / name))
        elif kind == "file":
            (folder / name).write_text("old")
        else:
            (folder / name).symlink_to("gone")
    listener = FnListener(str(folder / "lsnr.sock"))
    listener.open()
    check(folder / "lsnr.sock")
    listener.close()
    assert os.listdir(folder) == []


def test_the_files_of_a_successor_are_left_alone(folder: Path) -> None:
    path = folder / "lsnr.sock"
    old, new = FnListener(str(path)), FnListener(str(path))
    old.open()
    new.open()
    old.close()
    check(path)
    new.close()


@pytest.mark.parametrize("size", [100, 102, 103, 107])
def test_a_path_of_up_to_107_bytes(folder: Path, size: int) -> None:
    room = size - len(str(folder)) - 1 - len("/lsnr.sock")
    path = folder / ("d" * room) / "lsnr.sock"
    path.parent.mkdir()
    assert len(str(path)) == size
    listener = FnListener(str(path))
    listener.open()
    check(path)
    listener.close()
    assert os.listdir(path.parent) == []


def refused(environ: dict[str, str]) -> SetupError:
    """Return the error that an environment gives."""
    with pytest.raises(SetupError) as caught:
        FnListener.from_env(environ).open()
    return caught.value


def test_a_path_that_is_too_long_says_how_long_it_may_be(folder: Path) -> None:
    path = str(folder / ("d" * (108 - len(str(folder)) - 1)))
    error = refused({"FN_FORMAT": "http-stream", "FN_LISTENER": f"unix:{path}"})
    assert error.field == "FN_LISTENER"
    assert "108 bytes" in error.detail
    assert "107" in error.detail


@pytest.mark.parametrize("value", ["", "unix:", "/tmp/x/lsnr.sock", "tcp:1.2.3.4:5", "unix:/"])
def test_a_listener_that_is_none(value: str) -> None:
    error = refused({"FN_FORMAT": "http-stream", "FN_LISTENER": value})
    assert error.field == "FN_LISTENER"


@pytest.mark.parametrize("form", [None, "", "json", "default"])
def test_a_format_that_is_gone(form: str | None) -> None:
    environ = {"FN_LISTENER": "unix:/tmp/x/lsnr.sock"} | (
        {} if form is None else {"FN_FORMAT": form}
    )
    assert refused(environ).field == "FN_FORMAT"


def test_a_folder_that_is_not_there(folder: Path) -> None:
    environ = {"FN_FORMAT": "http-stream", "FN_LISTENER": f"unix:{folder}/gone/lsnr.sock"}
    error = refused(environ)
    assert error.field == "FN_LISTENER"
    assert "No such file" in error.detail


def test_a_folder_in_the_way(folder: Path) -> None:
    (folder / "lsnr.sock").mkdir()
    environ = {"FN_FORMAT": "http-stream", "FN_LISTENER": f"unix:{folder}/lsnr.sock"}
    assert refused(environ).field == "FN_LISTENER"
    assert os.listdir(folder) == ["lsnr.sock"]

"""A folder is written whole or not at all."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.scaffold import folder as folder_module
from gpfn.scaffold.folder import check_place, write_folder
from tests.scaffold.making import affine

FILES: dict[str, str | Path] = {"func.py": "new\n", "README.md": "new\n", "m/a.txt": "a"}


def tree(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its text."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_folder(tmp_path: Path) -> None:
    source = tmp_path / "copied"
    source.write_text("as it is")
    source.chmod(0o600)
    sizes = write_folder(tmp_path / "f", {**FILES, "model": source})
    assert tree(tmp_path / "f") == {
        "README.md": "new\n",
        "func.py": "new\n",
        "m/a.txt": "a",
        "model": "as it is",
    }
    assert sizes == {"func.py": 4, "README.md": 4, "m/a.txt": 1, "model": 8}
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "f").rglob("*")}
    assert modes == {0o666 & ~_umask(), 0o777 & ~_umask()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied", "f"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_repository_that_has_only_its_own_files(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref")
    for name in ("README.md", "LICENSE", ".gitignore"):
        (tmp_path / name).write_text("mine")
    sizes = write_folder(tmp_path, FILES)
    assert "README.md" not in sizes
    assert tree(tmp_path) == {
        ".git/HEAD": "ref",
        ".gitignore": "mine",
        "LICENSE": "mine",
        "README.md": "mine",
        "func.py": "new\n",
        "m/a.txt": "a",
    }


@pytest.mark.parametrize(
    "name", ["README.rst", "LICENSE-APACHE", "licence-mit.txt", "COPYING.LESSER", ".DS_Store"]
)
def test_what_a_repository_has_of_its_own_is_not_in_the_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    check_place(tmp_path)


@pytest.mark.parametrize(
    "name", ["func.py", "m", "notes.txt", "README.py", "licensed", "license-check.py"]
)
def test_anything_else_is_named_and_nothing_changed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SetupError, match=rf"is not empty: {name}; .*--force") as caught:
        write_folder(tmp_path, FILES)
    assert caught.value.field == str(tmp_path)
    assert tree(tmp_path) == {name: "mine"}


def test_of_many_some_are_named(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"f{number:02}").touch()
    with pytest.raises(SetupError, match="f09 and 20 more;"):
        write_folder(tmp_path, FILES)


def test_force_writes_over_what_is_there_and_keeps_the_rest(tmp_path: Path) -> None:
    for name in ("func.py", "README.md", "notes.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old.txt").write_text("old")
    write_folder(tmp_path, FILES, force=True)
    assert tree(tmp_path) == {
        "README.md": "new\n",
        "func.py": "new\n",
        "m/a.txt": "a",
        "notes.txt": "mine",
    }


@pytest.mark.parametrize("force", [False, True])
def test_a_file_in_the_place(tmp_path: Path, force: bool) -> None:
    (tmp_path / "f").write_text("mine")
    (tmp_path / "dangling").symlink_to("absent")
    for name in ("f", "dangling"):
        with pytest.raises(SetupError, match="there is a file of that name"):
            write_folder(tmp_path / name, FILES, force=force)
    assert (tmp_path / "f").read_text() == "mine"


@pytest.mark.parametrize("there", [False, True])
def test_what_cannot_be_copied_leaves_nothing(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "func.py").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(SetupError, match=r"cannot be written: No such file.*; nothing was left"):
        write_folder(tmp_path / "f", {**FILES, "z": tmp_path / "absent"}, force=True)
    assert tree(tmp_path) == before
    assert (tmp_path / "f").exists() == there


@contextmanager
def little_space(most: int) -> Iterator[None]:
    """Let no file grow beyond ``most`` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("there", [False, True])
def test_no_space_leaves_nothing(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "func.py").write_text("mine")
    before = tree(tmp_path)
    with little_space(1000), pytest.raises(SetupError, match="cannot be written: File too large"):
        write_folder(tmp_path / "f", {**FILES, "sample.json": "x" * 5000}, force=True)
    assert tree(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == (["f"] if there else [])


def test_what_was_moved_comes_back(tmp_path: Path) -> None:
    """Ctrl-C before any of the renames gives back what was there."""
    target = tmp_path / "f"
    target.mkdir()
    (target / "func.py").write_text("mine")
    made, old = tmp_path / "x" / "new", tmp_path / "x" / "old"
    made.mkdir(parents=True)
    (made / "func.py").write_text("new")
    (made / "z").write_text("new")
    (target / "z").mkdir()
    (target / "z" / "kept").write_text("mine")
    before = tree(target)
    for stop in range(1, 5):
        with pytest.raises(KeyboardInterrupt), interrupted(stop):
            folder_module._move_in(made, target)
        assert tree(target) == before
        assert tree(made) == {"func.py": "new", "z": "new"}
        old.rmdir()
    folder_module._move_in(made, target)
    assert tree(target) == {"func.py": "new", "z": "new"}


@contextmanager
def interrupted(number: int) -> Iterator[None]:
    """Let Ctrl-C come right before the rename of that number."""
    count = 0

    def watch(name: str, _args: tuple[object, ...]) -> None:
        nonlocal count
        if name == "os.rename" and active:
            count += 1
            if count == number:
                raise KeyboardInterrupt

    active = True
    sys.addaudithook(watch)
    try:
        yield
    finally:
        active = False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("there", [False, True])
def test_an_end_from_outside_leaves_nothing(
    tmp_path: Path, number: signal.Signals, there: bool
) -> None:
    affine(tmp_path / "model.onnx")
    (tmp_path / "model.toml").write_text('model = "model.onnx"\nfiles."large.bin" = {}\n')
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(4 << 30)  # without a block on the disk; copying it takes long
    if there:
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "func.py").write_text("mine")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    command = [sys.executable, "-m", "gpfn", "init", "f", "--from", "model.onnx", "--force"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1)
    deadline = time.monotonic() + 30
    while not list(tmp_path.rglob("large.bin"))[1:]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert out == b""
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before

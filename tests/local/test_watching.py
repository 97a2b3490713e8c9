"""Revisions of functions' files, and what changes between two looks."""

import os
import shutil
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.local.folders import LocalFunction
from gpfn.local.watching import FunctionWatch
from tests.local.test_folders import make


class Clock:
    """A clock that goes on by a step at each look at it."""

    def __init__(self, step: float = 1.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def names(functions: tuple[LocalFunction, ...]) -> list[str]:
    return [one.name for one in functions]


def test_content_counts_and_not_the_time(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n", "x = 1\n")
    watch = FunctionWatch(tmp_path, clock=Clock())
    assert names(watch.look().added) == ["a"]
    (function,) = watch.functions
    first = watch.revision(function)
    os.utime(folder / "func.py", (1, 1))
    assert watch.look() == ((), (), (), ())
    (folder / "func.py").write_text("x = 2\n")
    assert names(watch.look().changed) == ["a"]
    assert watch.revision(function) != first
    (folder / "func.py").write_text("x = 1\n")
    assert names(watch.look().changed) == ["a"]
    assert watch.revision(function) == first


def test_a_neighbour_counts_and_caches_do_not(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    watch = FunctionWatch(tmp_path, clock=Clock())
    watch.look()
    for name in (".gpfn", "__pycache__", ".git", "node_modules"):
        (folder / name).mkdir()
        (folder / name / "file").write_text("1")
    (folder / ".func.py.swp").write_text("1")
    (folder / "venv").mkdir()
    (folder / "venv" / "pyvenv.cfg").write_text("1")
    assert watch.look() == ((), (), (), ())
    (folder / "_words").mkdir()
    (folder / "_words" / "words.py").write_text("1")
    assert names(watch.look().changed) == ["a"]


def test_a_large_file_counts_by_size_and_time(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    model = folder / "model.tflite"
    with model.open("wb") as file:
        file.truncate(3 << 30)  # no byte of it is there, and none is read
    watch = FunctionWatch(tmp_path, clock=Clock())
    watch.look()
    os.utime(model, (5, 5))
    assert names(watch.look().changed) == ["a"]


def test_what_lies_behind_a_link_counts(tmp_path: Path) -> None:
    folder = make(tmp_path / "functions" / "a", "name: a\n")
    (tmp_path / "common").mkdir()
    shared = tmp_path / "common" / "shared.py"
    shared.write_text("1")
    (folder / "common").symlink_to(tmp_path / "common")
    (tmp_path / "common" / "back").symlink_to(folder)
    (tmp_path / "common" / "itself").symlink_to(".")
    watch = FunctionWatch(tmp_path, clock=Clock())
    assert names(watch.look().added) == ["a"]
    assert watch.look() == ((), (), (), ())
    shared.write_text("2")
    assert names(watch.look().changed) == ["a"]


@pytest.mark.timeout(30)
def test_links_lead_nowhere_for_ever(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    (folder / "processes").symlink_to("/proc")
    for number in range(40):
        (folder / f"d{number}").mkdir()
        for other in range(40):
            (folder / f"d{number}" / f"e{other}").symlink_to(folder / f"d{other}")
    watch = FunctionWatch(tmp_path, clock=Clock())
    assert names(watch.look().added) == ["a"]


@pytest.mark.timeout(30)
def test_a_pipe_or_a_device_in_a_folder_is_waited_for_by_nobody(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n", "x = 1\n")
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "nothing").symlink_to("gone")
    (folder / "again").symlink_to(folder)
    watch = FunctionWatch(tmp_path, clock=Clock())
    assert names(watch.look().added) == ["a"]
    (folder / "func.py").unlink()
    os.mkfifo(folder / "func.py")
    assert names(watch.look().changed) == ["a"]


def test_a_broken_func_yaml_is_told_once_and_the_function_stays(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    watch = FunctionWatch(tmp_path, clock=Clock())
    watch.look()
    (folder / "func.yaml").write_text("name: [")
    changes = watch.look()
    assert [one.folder for one in changes.refused] == [folder]
    assert names(changes.changed) == ["a"]
    assert not changes.removed
    assert watch.look() == ((), (), (), ())
    (folder / "func.yaml").write_text("name: a\n")
    assert names(watch.look().changed) == ["a"]


def test_one_that_comes_and_one_that_goes(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    watch = FunctionWatch(tmp_path, clock=Clock())
    watch.look()
    make(tmp_path / "b", "name: b\n")
    assert names(watch.look().added) == ["b"]
    shutil.rmtree(folder)
    assert names(watch.look().removed) == ["a"]
    shutil.rmtree(tmp_path)
    assert names(watch.look().removed) == ["b"]


def edited(place: Path, clock: Clock) -> tuple[FunctionWatch, LocalFunction, str]:
    """Return a function that was looked at and then edited, with the revision that it had."""
    folder = make(place / "a", "name: a\n", "x = 1\n")
    watch = FunctionWatch(place, clock=clock)
    watch.look()
    (function,) = watch.functions
    first = watch.revision(function)
    (folder / "func.py").write_text("x = 2\n")
    return watch, function, first


def test_an_edit_is_seen_by_a_call_before_the_next_look(tmp_path: Path) -> None:
    clock = Clock()
    watch, function, first = edited(tmp_path, clock)
    assert watch.revision(function) != first
    assert names(watch.look().changed) == ["a"]


def test_a_look_is_repeated_when_50_times_what_it_took_have_passed(tmp_path: Path) -> None:
    clock = Clock(0.0001)
    watch, function, first = edited(tmp_path, clock)
    assert watch.revision(function) == first
    clock.now += 0.005
    assert watch.revision(function) != first
    clock.step = 1.0  # a folder with very many files
    clock.now += 1.0
    watch.revision(function)
    clock.step = 0.0
    (function.folder / "func.py").write_text("x = 1\n")
    clock.now += 0.051
    assert watch.revision(function) == first


def test_a_folder_that_is_mapped_has_to_have_a_function(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "name: e\n")
    (tmp_path / "here").mkdir()
    watch = FunctionWatch(tmp_path / "here", [tmp_path / "elsewhere"])
    watch.look()
    assert watch.mapped[tmp_path / "elsewhere"].name == "e"
    assert not watch.functions
    with pytest.raises(SetupError, match=r"has no func\.yaml"):
        FunctionWatch(tmp_path / "here", [tmp_path / "gone"]).look()

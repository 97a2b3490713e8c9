"""The loop, with trainings in real processes that take a moment."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gpfn.errors import CannotConnect
from gpfn.retraining.child import Trained
from gpfn.retraining.keeper import ModelKeeper
from gpfn.retraining.retraining import Retraining, TrainingJob
from gpfn.retraining.watched_folder import WatchedFolder
from tests.conftest import ROOT
from tests.retraining.trainings import add_up


class Loop:
    """A loop in a thread: what it has told, what it has pushed, and what pushing raises."""

    def __init__(self, folder: Path, out: Path, options: str = "") -> None:
        self.folder, self.out, self.options = folder, out, options
        self.place = "here"
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.pushed: list[int] = []
        self.unreachable = False
        self._stop = False

    def push(self, folder: Path, trained: Trained) -> Mapping[str, Any]:
        if self.unreachable:
            raise CannotConnect("http://127.0.0.1:9: nobody listens there")
        self.pushed.append(json.loads((folder / trained.model).read_text()))
        return {"version": len(self.pushed)}

    def go(self, *, once: bool = False) -> bool:
        watched = WatchedFolder(self.folder, (".txt",), settle=0.2)
        job = TrainingJob(add_up, self.options, self.push, self.place)
        tell = lambda word, told: self.told.append((word, told))  # noqa: E731
        with ModelKeeper(self.out) as keeper:
            loop = Retraining(watched, keeper, job, tell, every=0.05, first_pause=0.1)
            return loop.run(lambda: self._stop, once=once)

    def __enter__(self) -> "Loop":
        self._thread = threading.Thread(target=self.go)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._stop = False

    def words(self) -> list[str]:
        return [word for word, _ in self.told]

    def until(self, true: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.told
            time.sleep(0.02)

    def why(self) -> str:
        return str(next(told["why"] for word, told in reversed(self.told) if "why" in told))


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    (tmp_path / "in").mkdir()
    yield Loop(tmp_path / "in", tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left <= {"current", "journal.jsonl", "lock", "begun"}


def put(loop: Loop, name: str, text: str) -> None:
    """Write a file at once and whole, as who copies with care does."""
    hidden = loop.folder / f".{name}"
    hidden.write_text(text)
    hidden.rename(loop.folder / name)


def test_it_trains_when_files_come_and_when_they_change(loop: Loop) -> None:
    with loop:
        loop.until(lambda: "empty" in loop.words())
        put(loop, "a.txt", "1")
        loop.until(lambda: loop.pushed == [1])
        put(loop, "b.txt", "20")
        loop.until(lambda: loop.pushed == [1, 21])
        put(loop, "a.txt", "5")
        loop.until(lambda: loop.pushed == [1, 21, 25])
        time.sleep(0.5)
    words = [word for word in loop.words() if word != "waiting"]
    assert words == ["empty", *(["training", "trained", "pushed"] * 3)]
    assert json.loads((loop.out / "current" / "sum.json").read_text()) == 25
    pids = {told["metrics"]["pid"] for word, told in loop.told if word == "trained"}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_a_bad_file_is_named_and_the_last_good_model_stays(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    with loop:
        loop.until(lambda: loop.pushed == [1])
        put(loop, "b.txt", "many")
        loop.until(lambda: "failed" in loop.words())
        assert loop.why().endswith("b.txt: 'many' is no number")
        assert json.loads((loop.out / "current" / "sum.json").read_text()) == 1
        time.sleep(0.5)
        assert loop.words().count("training") == 2  # not again and again
        put(loop, "b.txt", "2")
        loop.until(lambda: loop.pushed == [1, 3])


@pytest.mark.parametrize(
    ("word", "how"), [("killed", "SIGKILL"), ("crash", "exit code 1"), ("leave", "exit code 3")]
)
def test_a_training_that_does_not_come_back(loop: Loop, word: str, how: str) -> None:
    put(loop, "a.txt", word)
    with loop:
        loop.until(lambda: "ended" in loop.words())
        assert f"ended by {how} and has left no model" in loop.why()
        time.sleep(0.4)
        assert loop.words().count("training") == 1
        put(loop, "a.txt", "7")
        loop.until(lambda: loop.pushed == [7])


def test_nothing_is_trained_twice_over_restarts(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    assert loop.go(once=True)
    assert loop.go(once=True)
    assert loop.words().count("training") == 1
    assert loop.words()[-1] == "trained before"
    assert loop.pushed == [1]
    put(loop, "b.txt", "bad")
    assert not loop.go(once=True)
    assert not loop.go(once=True)
    assert loop.words()[-1] == "failed before"
    assert loop.words().count("training") == 2
    (loop.folder / "b.txt").unlink()
    assert loop.go(once=True)
    assert loop.words().count("training") == 2
    other = Loop(loop.folder, loop.out, "other options")
    assert other.go(once=True)
    assert other.pushed == [1]


def test_a_training_that_was_killed_is_tried_again_at_the_next_start(loop: Loop) -> None:
    put(loop, "a.txt", "killed")
    assert not loop.go(once=True)
    assert not loop.go(once=True)
    assert loop.words().count("training") == 2


def test_a_push_is_repeated_until_it_arrives(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    loop.unreachable = True
    with loop:
        loop.until(lambda: loop.words().count("not pushed") >= 3)
        pauses = [told["again_in"] for word, told in loop.told if word == "not pushed"]
        assert pauses[:3] == [0.1, 0.2, 0.4]
        loop.unreachable = False
        loop.until(lambda: loop.pushed == [1])
        assert loop.words().count("training") == 1


def test_a_push_that_is_owed_is_made_after_a_restart(loop: Loop) -> None:
    put(loop, "a.txt", "4")
    loop.unreachable = True
    assert not loop.go(once=True)
    loop.unreachable = False
    assert loop.go(once=True)
    assert loop.pushed == [4]
    assert loop.words().count("training") == 1


def test_another_place_is_owed_the_last_good_model(loop: Loop) -> None:
    put(loop, "a.txt", "4")
    assert loop.go(once=True)
    loop.place = "there"
    assert loop.go(once=True)
    assert loop.go(once=True)
    assert loop.pushed == [4, 4]
    assert loop.words().count("training") == 1


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_model_of_other_options_is_not_owed_to_another_place(
    loop: Loop, unreachable: bool
) -> None:
    put(loop, "a.txt", "4")
    loop.unreachable = unreachable
    assert loop.go(once=True) is not unreachable
    put(loop, "a.txt", "5")
    other = Loop(loop.folder, loop.out, "another name")
    other.place = "there"
    assert other.go(once=True)
    assert other.pushed == [5]


def test_a_journal_that_does_not_say_where_to_owes_nothing(loop: Loop) -> None:
    put(loop, "a.txt", "4")
    assert loop.go(once=True)
    journal = loop.out / "journal.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    older = [{key: row[key] for key in row if key not in ("to", "options")} for row in rows]
    journal.write_text("".join(json.dumps(row) + "\n" for row in older))
    assert loop.go(once=True)
    assert loop.pushed == [4]


def test_it_is_made_also_when_bad_files_have_come_meanwhile(loop: Loop) -> None:
    put(loop, "a.txt", "4")
    loop.unreachable = True
    assert not loop.go(once=True)
    put(loop, "b.txt", "bad")
    assert not loop.go(once=True)
    loop.unreachable = False
    assert not loop.go(once=True)
    assert loop.pushed == [4]
    assert not loop.go(once=True)
    assert loop.pushed == [4]


def test_once_does_not_wait_for_files_that_nobody_has_put_there(loop: Loop) -> None:
    assert loop.go(once=True)
    assert loop.words() == ["empty"]
    loop.folder.rename(loop.folder.parent / "away")
    assert not loop.go(once=True)
    assert loop.words() == ["empty", "unreadable"]


def test_a_newer_model_takes_the_place_of_one_that_was_not_pushed(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    loop.unreachable = True
    with loop:
        loop.until(lambda: "not pushed" in loop.words())
        put(loop, "b.txt", "1")
        loop.until(lambda: loop.words().count("trained") == 2)
        loop.unreachable = False
        loop.until(lambda: loop.pushed)
        time.sleep(0.3)
        assert loop.pushed == [2]


def test_files_that_change_while_it_trains_are_trained_on_once_more(loop: Loop) -> None:
    put(loop, "a.txt", "slow 1.5 1")
    with loop:
        loop.until((loop.out / "begun").exists)
        put(loop, "b.txt", "2")
        loop.until(lambda: loop.pushed, 60)
    assert loop.pushed == [3]
    assert "changed" in loop.words()


def test_to_stop_ends_the_training_at_once_and_leaves_nothing(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    with loop:
        loop.until(lambda: loop.pushed == [1])
        put(loop, "a.txt", "slow 600 1")
        loop.until((loop.out / "begun").exists)
        pid = int((loop.out / "begun").read_text())
        began = time.monotonic()
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert json.loads((loop.out / "current" / "sum.json").read_text()) == 1
    put(loop, "a.txt", "2")
    assert loop.go(once=True)
    assert loop.pushed == [1, 2]


def test_a_training_ends_when_its_parent_was_killed(loop: Loop) -> None:
    put(loop, "a.txt", "slow 600 1")
    code = (
        "from pathlib import Path; from tests.retraining.test_retraining import Loop\n"
        f"Loop(Path({str(loop.folder)!r}), Path({str(loop.out)!r})).go()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        loop.until(lambda: (loop.out / "begun").exists() and (loop.out / "begun").read_text())
    finally:
        parent.kill()
        parent.wait()
    pid = int((loop.out / "begun").read_text())
    loop.until(lambda: not Path(f"/proc/{pid}").exists(), 20)
    put(loop, "a.txt", "3")
    assert loop.go(once=True)  # and what it left is cleared away
    assert loop.pushed == [3]


def test_a_folder_that_goes_is_waited_for(loop: Loop) -> None:
    put(loop, "a.txt", "1")
    with loop:
        loop.until(lambda: loop.pushed == [1])
        loop.folder.rename(loop.folder.parent / "away")
        loop.until(lambda: "unreadable" in loop.words())
        time.sleep(0.3)
        assert loop.words().count("unreadable") == 1
        (loop.folder.parent / "away").rename(loop.folder)
        put(loop, "b.txt", "1")
        loop.until(lambda: loop.pushed == [1, 2])

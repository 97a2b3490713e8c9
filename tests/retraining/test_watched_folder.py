"""What counts as a whole file, and when a folder is another one."""

import os
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.retraining.watched_folder import Snapshot, WatchedFolder


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(tmp_path: Path, clock: Clock) -> WatchedFolder:
    return WatchedFolder(tmp_path, (".csv", ".tsv"), settle=2, clock=clock)


def settled(watched: WatchedFolder, clock: Clock) -> Snapshot:
    watched.look()
    clock.now += 2
    found = watched.look()
    assert found is not None
    return found


def test_nothing_is_given_before_files_have_stayed_the_same(
    tmp_path: Path, watched: WatchedFolder, clock: Clock
) -> None:
    assert watched.look() is None
    (tmp_path / "a.csv").write_text("1")
    assert watched.look() is None
    clock.now += 1.9
    assert watched.look() is None
    clock.now += 0.1
    assert watched.look() is not None
    with (tmp_path / "b.csv").open("w") as growing:
        for _ in range(5):
            growing.write("x")
            growing.flush()
            clock.now += 1.9
            assert watched.look() is None
    clock.now += 2
    found = watched.look()
    assert found is not None
    assert [path.name for path in found.files] == ["a.csv", "b.csv"]


def test_hidden_and_unfinished_names_are_left_alone(
    tmp_path: Path, watched: WatchedFolder, clock: Clock
) -> None:
    names = [".a.csv", "~$a.csv", "#a.csv", "a.csv.part", "a.csv~", "a.csv.tmp", "a.txt", "csv"]
    for name in names:
        (tmp_path / name).write_text("1")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.csv").write_text("1")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "A.CSV").write_text("1")
    (tmp_path / "b.tsv").write_text("1")
    assert [path.name for path in settled(watched, clock).files] == ["A.CSV", "b.tsv"]
    deep = WatchedFolder(tmp_path, (".csv",), deep=True, settle=0, clock=clock)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.csv").write_text("1")
    found = deep.look()
    assert found is not None
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == [
        "A.CSV",
        "below/c.csv",
    ]


def test_a_link_to_nothing_is_no_file(tmp_path: Path, watched: WatchedFolder, clock: Clock) -> None:
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    assert watched.look() is None
    assert watched.is_empty()
    (tmp_path / "a.csv").write_text("1")
    found = settled(watched, clock)
    assert [path.name for path in found.files] == ["a.csv"]
    assert watched.is_still(found)
    (tmp_path / "nowhere.csv").write_text("2")
    assert [path.name for path in settled(watched, clock).files] == [
        "a.csv",
        "gone.csv",
        "nowhere.csv",
    ]


def test_the_digest_is_of_names_and_bytes_and_of_nothing_else(
    tmp_path: Path, watched: WatchedFolder, clock: Clock
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    first = settled(watched, clock)
    os.utime(file, (1, 1))
    assert not watched.is_still(first)
    assert settled(watched, clock).digest == first.digest
    file.write_text("2")
    second = settled(watched, clock)
    assert second.digest != first.digest
    file.rename(tmp_path / "b.csv")
    assert settled(watched, clock).digest not in (first.digest, second.digest)
    (tmp_path / "b.csv").rename(file)
    file.write_text("1")
    assert settled(watched, clock).digest == first.digest


def test_names_and_bytes_do_not_run_into_each_other(tmp_path: Path, clock: Clock) -> None:
    digests = set()
    for number, (name, text) in enumerate([("a.csv", "b"), ("a.csvb", ""), ("ab.csv", "")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        digests.add(settled(WatchedFolder(folder, ("",), settle=2, clock=clock), clock).digest)
    assert len(digests) == 3


def test_a_file_that_goes_and_one_that_comes_back(
    tmp_path: Path, watched: WatchedFolder, clock: Clock
) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("1")
    both = settled(watched, clock)
    (tmp_path / "b.csv").unlink()
    assert watched.look() is None
    clock.now += 2
    one = watched.look()
    assert one is not None
    assert [path.name for path in one.files] == ["a.csv"]
    assert not watched.is_still(both)


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, clock: Clock) -> None:
    gone = WatchedFolder(tmp_path / "gone", (".csv",), clock=clock)
    with pytest.raises(SetupError, match="gone: no such folder"):
        gone.look()
    (tmp_path / "gone").mkdir()
    assert gone.look() is None

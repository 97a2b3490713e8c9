"""The state's file: what a killed process leaves, and every file that is none."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.local.state import State

TABLE = ("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY, text TEXT NOT NULL)",)

WRITER = """
import sys
from pathlib import Path
from gpfn.local.state import State

state = State(Path(sys.argv[1]))
state.create(("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY, text TEXT)",))
for number in range(1, 1_000_000):
    with state.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 500))
    print(number, flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / ".gpfn" / "dev.sqlite"


def test_what_was_written_is_there_after_the_next_start(place: Path) -> None:
    first = State(place)
    first.create(TABLE)
    with first.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (7, 'seven')")
    first.close()
    first.close()
    second = State(place)
    second.create(TABLE)
    assert second.connection.execute("SELECT * FROM numbers").fetchall() == [(7, "seven")]
    second.close()
    assert place.stat().st_mode & 0o077 == 0


def test_in_memory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = State()
    state.create(TABLE)
    state.close()
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_is_all_or_nothing_and_one_inside_another_is_part_of_it() -> None:
    state = State()
    state.create(TABLE)

    def twice() -> None:
        with state.transaction() as outer:
            outer.execute("INSERT INTO numbers VALUES (1, 'one')")
            with state.transaction() as inner:
                inner.execute("INSERT INTO numbers VALUES (1, 'the same')")

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    with pytest.raises(sqlite3.IntegrityError), state.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (3, NULL)")
    assert state.connection.execute("SELECT count(*) FROM numbers").fetchone() == (0,)


def test_what_a_killed_process_had_acknowledged_is_not_lost(place: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(place)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(200):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
    writer.wait()
    writer.stdout.close()
    acknowledged = told[-1] if told else 200
    state = State(place)
    kept = state.connection.execute("SELECT count(*), max(number) FROM numbers").fetchone()
    state.close()
    assert kept[0] == kept[1] >= acknowledged


def refused(place: Path) -> str:
    """Return what is said of a file, which is one line that names it."""
    with pytest.raises(SetupError) as caught:
        State(place).create(TABLE)
    text = str(caught.value)
    assert "\n" not in text
    assert str(place) in text
    return text


def test_a_state_is_held_by_one_process_alone(place: Path) -> None:
    first = State(place)
    assert "another gpfn dev has it open" in refused(place)
    first.close()
    State(place).close()


def test_a_state_of_another_version_is_not_touched(place: Path) -> None:
    State(place).close()
    other = sqlite3.connect(place)
    other.execute("PRAGMA user_version = 99")
    other.close()
    assert "is of version 99, this gpfn reads version 2" in refused(place)
    other = sqlite3.connect(place)
    assert other.execute("PRAGMA user_version").fetchone() == (99,)
    other.close()


def test_a_database_of_somebody_else_is_not_touched(place: Path) -> None:
    place.parent.mkdir()
    other = sqlite3.connect(place)
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    assert "no state of gpfn dev" in refused(place)
    other = sqlite3.connect(place)
    assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    other.close()


def test_a_file_that_is_no_database_is_told(place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(b"hello, this is a text and no database at all" * 100)
    assert "is no state of gpfn dev" in refused(place)


def test_a_damaged_file_is_told(place: Path) -> None:
    state = State(place)
    state.create(TABLE)
    with state.transaction() as connection:
        for number in range(2000):
            connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 100))
    state.close()
    with place.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (os.stat(place).st_size - 4096))
    state = State(place)
    with pytest.raises(SetupError, match="damaged") as caught, state.transaction() as connection:
        connection.execute("SELECT sum(length(text)) FROM numbers").fetchall()
    state.close()
    assert str(place) in str(caught.value)


def test_a_folder_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused(tmp_path / "file" / "dev.sqlite")
    (tmp_path / "folder" / "dev.sqlite").mkdir(parents=True)
    assert "cannot be opened" in refused(tmp_path / "folder" / "dev.sqlite")


def test_a_file_without_the_right_to_write_is_told(place: Path) -> None:
    State(place).close()
    place.chmod(0o400)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom gpfn.local.state import State\n"
        "os.geteuid() or os.setuid(65534)\nState(Path(sys.argv[1]))"
    )
    place.parent.chmod(0o777)
    top = Path(tempfile.gettempdir())
    for folder in (each for each in place.parents if top in each.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", code, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SetupError" in done.stderr
    assert "cannot be written to" in done.stderr


def test_a_file_that_can_grow_no_more_is_told_and_keeps_what_it_has(place: Path) -> None:
    state = State(place)
    state.create(TABLE)
    with state.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (1, 'kept')")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(SetupError, match="disk") as caught, state.transaction() as connection:
            connection.execute("INSERT INTO numbers VALUES (2, ?)", ("x" * 5_000_000,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(place) in str(caught.value)
    assert state.connection.execute("SELECT * FROM numbers").fetchall() == [(1, "kept")]
    with state.transaction() as connection:
        connection.execute("INSERT INTO numbers VALUES (2, 'again')")
    state.close()

"""What becomes of a converter that crashes, hangs, floods, lies, or takes too much.

The converter is a real one: scikit-learn's, in this environment, and what it is given are pickles
whose code does these things, as nothing but --trust lets it.
"""

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.convert.making import refused

FLOOD = "[print('x' * 1000) for _ in range(100_000)] and {}"
LIES = (
    "[os.write(fd, b'no answer\\n') for fd in range(3, 20) "
    "if os.path.exists(f'/proc/self/fd/{fd}') and "
    "os.readlink(f'/proc/self/fd/{fd}').startswith('socket')] and time.sleep(60)"
)


DEEP = LIES.replace("b'no answer\\n'", "b'[' * 200_000 + b'\\n'")


class Runs:
    """Pickled, it is code that runs when it is loaded."""

    def __init__(self, code: str) -> None:
        self.code = f"[__import__('time'), __import__('os')] and {self._named(code)}"

    @staticmethod
    def _named(code: str) -> str:
        return code.replace("os.", "__import__('os').").replace("time.", "__import__('time').")

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (self.code,)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, where the logs are."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GPFN_CACHE_DIR", str(folder))
    return folder


def pickled(folder: Path, code: str) -> str:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(Runs(code)))
    return str(path)


def words(folder: Path, code: str, *more: str) -> list[str]:
    out = str(folder / "model.onnx")
    return [pickled(folder, code), "-o", out, "--trust", "--python", sys.executable, *more]


def left(folder: Path) -> set[str]:
    """Return what is in a folder besides the pickle and the cache."""
    return {path.name for path in folder.iterdir()} - {"model.pkl", "cache"}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("os.abort()", "the converter was ended by SIGABRT"),
        ("os.write(2, b'first\\nthe last line\\n') and os._exit(3)", "ended with 3: the last line"),
        ("os.kill(os.getpid(), 9)", "the converter was ended by SIGKILL"),
        (LIES, "answered with what cannot be read"),
        (DEEP, "answered with what cannot be read"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_goes_wrong_is_one_line_with_the_log(
    code: str, told: str, tmp_path: Path, cache: Path, capsys
) -> None:
    line = refused(capsys, *words(tmp_path, code))
    assert told in line
    (log,) = (cache / "convert" / "logs").iterdir()
    assert f"(its log: {log})" in line
    assert left(tmp_path) == set()


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path, cache: Path, capsys) -> None:
    note = tmp_path / "cache" / "pid"
    cache.mkdir()
    code = (
        f"open({str(note)!r}, 'w').write(str(__import__('subprocess').Popen(['sleep', '600']).pid))"
        " and time.sleep(600)"
    )
    began = time.monotonic()
    line = refused(capsys, *words(tmp_path, code, "--timeout", "3"))
    assert "was not ready after 3 s and was ended; --timeout gives it longer" in line
    assert time.monotonic() - began < 60
    wait_for_end(int(note.read_text()))
    assert left(tmp_path) == set()


def test_a_flood_of_output_is_not_kept(tmp_path: Path, cache: Path, capsys) -> None:
    line = refused(capsys, *words(tmp_path, FLOOD))
    assert "holds a dict" in line or "holds a list" in line
    assert sum(path.stat().st_size for path in cache.rglob("*.log")) < 100 << 20


def test_one_that_takes_too_much_memory(tmp_path: Path, cache: Path, capsys) -> None:
    code = "[bytearray(b'x' * (50 << 20)) for _ in range(60)] and time.sleep(60)"
    line = refused(capsys, *words(tmp_path, code, "--memory", "600"))
    assert "took more than 0.629 GB of memory and was ended; --memory gives it more" in line


def test_a_package_that_cannot_be_had(tmp_path: Path, cache: Path, capsys) -> None:
    line = refused(capsys, *words(tmp_path, "__import__('no_such_package')"))
    assert "needs the package no_such_package" in line
    assert "--python" in line


def test_without_trust_nothing_is_loaded(tmp_path: Path, cache: Path, capsys) -> None:
    path = pickled(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')")
    line = refused(capsys, path, "-o", str(tmp_path / "m.onnx"))
    assert "runs code of whoever made it; if you trust them, add --trust" in line
    assert left(tmp_path) == set()


def test_no_such_python(tmp_path: Path, cache: Path, capsys) -> None:
    path = pickled(tmp_path, "1")
    line = refused(capsys, path, "-o", str(tmp_path / "m.onnx"), "--trust", "--python", "/no/such")
    assert line == "--python: cannot start /no/such: No such file or directory"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_stopped_leaves_nothing(tmp_path: Path, cache: Path, number: int, code: int) -> None:
    process, child = hanging(tmp_path, cache)
    process.send_signal(number)
    assert process.wait(30) == code
    wait_for_end(child)
    assert left(tmp_path) == set()


def test_who_is_killed_leaves_no_process(tmp_path: Path, cache: Path) -> None:
    process, child = hanging(tmp_path, cache)
    process.kill()
    process.wait(30)
    wait_for_end(child)


def hanging(folder: Path, cache: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a conversion that hangs; returns it and the converter's process number."""
    cache.mkdir()
    note = cache / "pid"
    code = f"open({str(note)!r}, 'w').write(str(os.getpid())) and time.sleep(600)"
    command = [sys.executable, "-m", "gpfn", "convert", *words(folder, code)]
    process = subprocess.Popen(command)
    until = time.monotonic() + 60
    while not (note.exists() and note.read_text()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    return process, int(note.read_text())


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(ProcessLookupError, FileNotFoundError):  # it has ended
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return
    raise AssertionError(f"process {pid} still runs")


def test_an_output_that_cannot_be_written(tmp_path: Path, cache: Path, capsys) -> None:
    path = pickled(tmp_path, "1")
    line = refused(capsys, path, "-o", str(tmp_path / "no" / "m.onnx"), "--trust")
    assert "no such folder" in line
    line = refused(capsys, path, "-o", "/proc/m.onnx", "--trust", "--python", sys.executable)
    assert line.startswith("-o: cannot write /proc/m.onnx:")


def test_a_full_disk_is_told_and_nothing_stays(tmp_path: Path, cache: Path) -> None:
    """The log and the converter's files are limited as a disk would limit them."""
    cache.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = f"open({str(tmp_path / 'big')!r}, 'wb').write(b'x' * 100_000)"
    done = subprocess.run(
        [sys.executable, "-m", "gpfn", "convert", *words(tmp_path, code)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert left(tmp_path) == {"big"}

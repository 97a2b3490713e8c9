"""Every platform: started, called, failing and ended, with real processes."""

import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.target import find_target
from gpfn.platforms.table import platforms_with

PLATFORMS = [row.name for row in platforms_with("host")]
SEPARATE = ["fn", "fdk", "http", "openwhisk"]


def session(platform: str, folder: Path) -> StartedFunction:
    return StartedFunction(make_host(platform, find_target(str(folder))))


@pytest.fixture(autouse=True)
def _leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with tempfile.TemporaryDirectory(prefix="t-") as folder:  # short, as sockets' paths must be
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield
        assert list(Path(folder).glob("gpfn-*")) == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_same_answer_everywhere(platform: str, echo: Path) -> None:
    body = bytes(range(256)) * 500
    with session(platform, echo) as running:
        answer = running.call(Invocation(body, "application/x-thing"), repeat=3)
        assert (answer.status, answer.content_type) == (200, "application/x-thing")
        assert answer.body == body
        assert not answer.failed
        greeting = running.call(Invocation(b"", "text/plain", (("X-Greet", "you"),)))
        assert greeting.body == b"hello you"
        assert len(running.timings.calls) == 4
        assert running.timings.memory > 1e6
    assert running.timings.start > 0


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_callers_fault_is_an_error_document_and_costs_no_process(
    platform: str, failing: Path
) -> None:
    with session(platform, failing) as running:
        for _ in range(2):
            answer = running.call(Invocation(b"[1]"), repeat=5)
            assert answer.failed
            assert b'"type":"invalid-tensor"' in answer.body
            assert b'"field":"data"' in answer.body
        assert len(running.timings.calls) == 2


@pytest.mark.parametrize("platform", ["fn", "fdk"])
def test_as_a_trigger_the_status_is_the_errors(platform: str, failing: Path) -> None:
    with session(platform, failing) as running:
        answer = running.call(Invocation(b"[1]", as_trigger=True))
    assert answer.status == 400
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("platform", SEPARATE)
def test_a_bug_is_in_the_log_and_not_in_the_answer(platform: str, failing: Path) -> None:
    with session(platform, failing) as running:
        answer = running.call(Invocation(b"ours"))
        assert answer.failed
        assert b"secret" not in answer.body
    assert "KeyError: 'secret'" in running.host.log()


@pytest.mark.parametrize("platform", SEPARATE)
def test_a_function_that_dies_is_told(platform: str, failing: Path) -> None:
    with session(platform, failing) as running, pytest.raises(BrokenReply):
        running.call(Invocation(b"die"))


@pytest.mark.parametrize("platform", ["fn", "http", "openwhisk"])
def test_a_function_that_hangs_is_given_up(platform: str, failing: Path) -> None:
    began = time.monotonic()
    with session(platform, failing) as running:
        try:
            answer = running.call(Invocation(b"sleep", timeout=0.2))
        except BackendTimeout:
            answer = None
        assert answer is None or answer.failed
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("platform", SEPARATE)
def test_a_function_that_cannot_be_loaded(platform: str, tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import absent_module\n")
    running = session(platform, tmp_path)
    if platform == "fdk":  # it listens first and imports in the first call
        with running:
            assert running.call(Invocation(b"x")).failed
    else:
        says = "Cannot start action" if platform == "openwhisk" else "exit code 1"
        with pytest.raises(SetupError, match=says):
            running.__enter__()
    assert "absent_module" in running.host.log()


def test_the_parts_of_starting_are_told(echo: Path, root: Path) -> None:
    with session("fn", root / "functions" / "forecast") as running:
        running.call(Invocation((root / "ce_samples" / "forecast.json").read_bytes()), repeat=3)
    assert list(running.timings.parts) == ["import", "load", "warm-up"]
    rows = dict(running.timings.rows())
    assert list(rows) == [
        "start-up",
        "  import",
        "  load",
        "  warm-up",
        "first call",
        "later calls, median of 2",
        "memory",
    ]


def test_a_long_name_of_the_temporary_folder(
    echo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with session("fn", echo) as running:
        assert running.call(Invocation(b"x")).body == b"x"
    assert list(folder.iterdir()) == []


def test_stopping_twice_is_harmless(echo: Path) -> None:
    for name in PLATFORMS:
        platform = make_host(name, find_target(str(echo)))
        platform.stop()
        platform.start()
        platform.stop()
        platform.stop()


def test_unknown_platform(echo: Path) -> None:
    with pytest.raises(
        SetupError, match="platform: expected one of fn, fdk, http, openwhisk, call, got 'lambda'"
    ):
        make_host("lambda", find_target(str(echo)))


def test_calls_over_http_do_not_wait_for_acknowledgements(echo: Path) -> None:
    """Nagle's algorithm and delayed acknowledgements would make every call last 40 ms."""
    with session("http", echo) as running:
        running.call(Invocation(b"x"), repeat=20)
    assert sorted(running.timings.calls)[10] < 0.03

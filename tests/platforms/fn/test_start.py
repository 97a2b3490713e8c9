"""What comes first: the model or the socket; and starts that fail."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.platforms.fn.container import Container, call_bytes, container, read_reply, trigger

FILES = Path(__file__).parent / "files"
SLOW = FILES / "slow.py"
SPINNING = FILES / "spinning.py"


def as_text(deadline: float) -> str:
    """Return a deadline as the agent would write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(deadline))


def in_seconds(seconds: int) -> str:
    """Return the deadline that is so far away."""
    return as_text(time.time() + seconds)


def test_loading_that_fits_the_window_comes_before_the_socket() -> None:
    with container(SLOW, environ={"SLOW": "0.5"}) as running:
        began = time.monotonic()
        assert running.call(call_bytes()).body == b"main thread: True"
        assert time.monotonic() - began < 0.3
        assert "after it was loaded" in running.log
        assert "import 0.5" in running.log


def test_loading_that_does_not_fit_lets_calls_wait() -> None:
    environ = {"SLOW": "1.5", "GPFN_START_WINDOW": "0.3"}
    began = time.monotonic()
    with container(SLOW, environ=environ) as running:
        assert 0.25 < time.monotonic() - began < 1.3
        with running.connect() as connection:
            connection.sendall(call_bytes())
            assert read_reply(connection).body == b"main thread: True"
            assert time.monotonic() - began > 1.4
            connection.sendall(call_bytes())
            assert read_reply(connection).body == b"main thread: True"
        assert "still loading after 0.3 s" in running.log
        assert "before it was loaded" in running.log


@pytest.mark.parametrize("by_trigger", [False, True])
def test_a_call_whose_deadline_passes_while_loading_is_answered(by_trigger: bool) -> None:
    environ = {"SLOW": "3.5", "GPFN_START_WINDOW": "0"}
    headers = trigger() if by_trigger else []
    with container(SLOW, environ=environ) as running, running.connect() as connection:
        connection.sendall(call_bytes(b"x", *headers, deadline=in_seconds(2)))
        reply = read_reply(connection)
        assert reply.status == (200 if by_trigger else 504)
        assert b"deadline-exceeded" in reply.body
        connection.sendall(call_bytes(b"x", *headers, deadline=in_seconds(30)))
        assert read_reply(connection).body == b"main thread: True"


def test_a_time_out_comes_before_the_deadline_although_the_loading_computes() -> None:
    """Later, and the agent kills the container, which then loads from the beginning."""
    environ = {"SPIN": "5", "GPFN_START_WINDOW": "0"}
    with container(SPINNING, environ=environ) as running, running.connect() as connection:
        for _ in range(2):
            deadline = int(time.time()) + 2
            connection.sendall(call_bytes(b"x", deadline=as_text(deadline)))
            assert read_reply(connection).status == 504
            assert deadline - 0.5 < time.time() < deadline
        connection.sendall(call_bytes(b"x"))
        assert read_reply(connection).status == 200


def test_what_a_time_out_needs_is_imported_before_there_is_one() -> None:
    """Imports beside a thread that computes take longer than a deadline that is near allows."""
    environ = {"SPIN": "2", "GPFN_START_WINDOW": "0"}
    with container(SPINNING, environ=environ) as running:
        assert running.call(call_bytes()).body == b"prepared: True"
    with container(SPINNING, environ={"SPIN": "0.1"}) as running:  # a usual start does without
        assert running.call(call_bytes()).body == b"prepared: False"


def test_sigterm_ends_the_loading() -> None:
    for window in ("0", "4"):
        environ = {"SLOW": "20", "GPFN_START_WINDOW": window}
        with container(SLOW, environ=environ, wait=window == "0") as running:
            time.sleep(0.6)
            assert running.stop() == 0
            assert not os.path.lexists(running.listener)
            assert not os.path.lexists(running.phony)


def test_the_clock_does_not_start_for_a_connection_without_a_call() -> None:
    environ = {"SLOW": "1.0", "GPFN_START_WINDOW": "0"}
    with container(SLOW, environ=environ) as running, running.connect() as connection:
        time.sleep(1.2)
        connection.sendall(call_bytes())
        assert read_reply(connection).status == 200


def failed(*arguments: str, file: Path = FILES / "mirror.py", **environ: str) -> str:
    """Return the log of a start that fails with exit code 1."""
    with container(file, *arguments, environ=environ, wait=False) as running:
        assert running.process.wait(20) == 1
        assert not os.path.lexists(running.listener)
        assert not os.path.lexists(running.phony)
        return running.log


def test_a_file_that_is_not_there() -> None:
    assert "no such file" in failed(file=FILES / "gone.py")


def test_a_handler_that_is_not_there() -> None:
    assert "defines no nobody" in failed("nobody")


def test_a_handler_that_is_none() -> None:
    assert "KEPT is a list, not a handler" in failed("KEPT")


def test_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    broken = tmp_path / "func.py"
    broken.write_text("import os\nimport nobody_has_this\n")
    log = failed(file=broken)
    assert "cannot be imported: ModuleNotFoundError" in log
    assert "(line 2)" in log
    told = [line.partition("fn - ")[2] for line in log.splitlines() if " error fn - " in line]
    assert told == [
        "Traceback (most recent call last):",
        f'  File "{broken}", line 2, in <module>',
        "    import nobody_has_this",
        "ModuleNotFoundError: No module named 'nobody_has_this'",
    ]


def test_a_name_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text("from gpfn import Function\nmine = Function(len, takes='payload')\n")
    assert "defines no yours; it defines Function, mine" in failed("yours", file=file)


@pytest.mark.parametrize("window", ["x", "-1", "1e9", "nan"])
def test_a_window_that_is_none(window: str) -> None:
    assert "GPFN_START_WINDOW" in failed(GPFN_START_WINDOW=window)


def test_a_limit_that_is_none() -> None:
    assert "GPFN_MAX_BODY_BYTES" in failed(GPFN_MAX_BODY_BYTES="many")


def test_no_listener_and_another_format() -> None:
    assert "FN_LISTENER" in failed(FN_LISTENER="")
    assert "FN_FORMAT" in failed(FN_FORMAT="json")


def test_a_listener_without_a_folder_when_loading_took_too_long() -> None:
    log = failed(
        file=SLOW,
        SLOW="0.6",
        GPFN_START_WINDOW="0.1",
        FN_LISTENER="unix:/tmp/gone/gone/lsnr.sock",
    )
    assert "FN_LISTENER" in log


MODEL = """
from gpfn import Function, TensorSpec
function = Function(model={model!r}, inputs={{"series": TensorSpec("float32", (None, 20, 1))}})
handler = function.fn
"""


def told(running: Container, text: str) -> str:
    """Return the log once it has the text: a runner listens first, and says so then."""
    until = time.monotonic() + 10
    while text not in running.log:
        assert time.monotonic() < until, running.log
        time.sleep(0.01)
    return running.log


def test_a_model_is_open_and_warm_before_the_socket(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text(MODEL.format(model=str(root / "functions/forecast/forecast.tflite")))
    with container(file) as running:
        log = told(running, "after it was loaded")
        for part in ("import 0.", "load 0.", "warm-up 0.", "forecast.tflite"):
            assert part in log
        reply = running.call(call_bytes(b"[%b]" % b",".join([b"1.5"] * 20)))
        assert reply.status == 200
        assert "open " not in running.log.splitlines()[-1]


def test_a_model_that_cannot_be_opened_is_told_to_every_caller(tmp_path: Path) -> None:
    file = tmp_path / "func.py"
    file.write_text(MODEL.format(model="absent.tflite"))
    with container(file) as running:
        told(running, "model not opened")
        assert "model-unreadable" in running.log
        for _ in range(2):
            reply = running.call(call_bytes(b"[1]", *trigger()))
            assert (reply.status, reply.header("fn-http-status")) == (200, "500")
            assert b"model-unreadable" in reply.body
            assert running.call(call_bytes(b"[1]")).status == 502
        (tmp_path / "absent.tflite").write_bytes(
            (Path(__file__).parents[3] / "functions/forecast/forecast.tflite").read_bytes()
        )
        assert running.call(call_bytes(b"[%b]" % b",".join([b"1.5"] * 20))).status == 200


def test_a_home_that_is_the_root_and_files_that_cannot_be_written(tmp_path: Path) -> None:
    """As in the sandbox: HOME=/, no writable folder but the socket's, another user."""
    file = tmp_path / "func.py"
    file.write_text("def handler(ctx, data=None):\n    return data.getvalue()\n")
    tmp_path.chmod(0o555)
    environ = {"HOME": "/", "TMPDIR": "/nowhere"}
    with container(file, environ=environ) as running:
        assert running.call(call_bytes(b"x")).body == b"x"
        assert running.stop(signal.SIGTERM) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["func.py"]

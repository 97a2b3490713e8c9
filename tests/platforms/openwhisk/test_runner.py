"""The process: its port, its signals, being frozen, and its end."""

import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.platforms.openwhisk.served import GPFN, Action, served
from tests.residue import processor_seconds

ECHO = "def main(args):\n    return args\n"
SLOW = """
import time
def main(args):
    print("begun", flush=True)
    time.sleep(args["sleep"])
    return {"slept": args["sleep"]}
"""


def until(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_the_port_comes_from_the_environment(tmp_path: Path) -> None:
    port = free_port()
    popen = subprocess.Popen([GPFN, "run", "openwhisk"], env={**os.environ, "PORT": str(port)})
    action = Action(popen, port, tmp_path, tmp_path)
    try:
        until(lambda: connects(port))
        assert action.init(ECHO).status == 200
        assert action.stop() == 0
    finally:
        popen.kill()
        popen.wait()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PORT": "http"}, "PORT: expected a whole number from 0 to 65535, got 'http'"),
        ({"PORT": "70000"}, "PORT: expected a whole number from 0 to 65535"),
        (
            {"GPFN_MAX_RESULT_BYTES": "0"},
            "GPFN_MAX_RESULT_BYTES: expected a number of bytes from 1 up",
        ),
        ({"GPFN_MAX_BODY_BYTES": "x"}, "GPFN_MAX_BODY_BYTES: expected a number of bytes from 1 up"),
    ],
)
def test_settings_that_make_no_sense(environ: dict[str, str], says: str) -> None:
    run = subprocess.run(
        [GPFN, "run", "openwhisk"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [GPFN, "run", "openwhisk", "--host", "127.0.0.1", "--port", port],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert run.returncode == 1
    assert f"PORT: cannot listen on port {port}: " in run.stderr


def test_frozen_between_and_in_calls(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(SLOW).status == 200
        kept = action.connect()
        for number in range(3):
            action.popen.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            action.popen.send_signal(signal.SIGCONT)
            kept.request("POST", "/run", json.dumps({"value": {"sleep": 0}}))
            assert json.loads(kept.getresponse().read()) == {"slept": 0}
            thread = threading.Thread(target=action.run, args=({"sleep": 0.1},))
            thread.start()
            until(lambda number=number: action.out.read_text().count("begun") == 2 * number + 2)
            action.popen.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            action.popen.send_signal(signal.SIGCONT)
            thread.join()
        action.text(sentinels=6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(tmp_path: Path, number: int) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        idle = action.connect()
        idle.connect()
        began = time.monotonic()
        assert action.stop(number) == 0
        assert time.monotonic() - began < 5
        idle.close()


def test_the_running_call_is_answered_and_the_waiting_ones_are_sent_on(tmp_path: Path) -> None:
    """503 is what makes the invoker take an activation to another container."""
    with served(tmp_path) as action:
        assert action.init(SLOW).status == 200
        replies: dict[str, object] = {}

        def call(name: str, seconds: float) -> None:
            reply = action.run({"sleep": seconds})
            replies[name] = (reply.status, reply.json())

        threads = [threading.Thread(target=call, args=("running", 0.6))]
        threads[0].start()
        until(lambda: "begun" in action.out.read_text())
        threads += [threading.Thread(target=call, args=(name, 0)) for name in ("next", "later")]
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.2)
        assert action.stop() == 0
        for thread in threads:
            thread.join()
        away = (503, {"error": "the container is shutting down"})
        assert replies == {"running": (200, {"slept": 0.6}), "next": away, "later": away}


def test_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with served(tmp_path, environ={"TMPDIR": str(temporary)}) as action:
        assert action.init(SLOW).status == 200
        connection = action.connect()
        connection.request("POST", "/run", json.dumps({"value": {"sleep": 60}}))
        until(lambda: "begun" in action.out.read_text())
        action.popen.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert action.popen.poll() is None
        assert action.stop() == 0
        assert list(temporary.iterdir()) == []


def test_a_signal_while_it_loads(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [GPFN, "run", "openwhisk", str(tmp_path), "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.PIPE,
    ) as popen:
        assert popen.stdout is not None
        assert popen.stdout.readline() == b"loading\n"
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(10) == 0


def test_it_listens_before_it_has_loaded(tmp_path: Path) -> None:
    """The invoker connects at once; what it sends waits, instead of being refused."""
    port = free_port()
    (tmp_path / "func.py").write_text(f"import time\ntime.sleep(0.5)\n{ECHO}")
    popen = subprocess.Popen(
        [GPFN, "run", "openwhisk", str(tmp_path), "--host", "127.0.0.1", "--port", str(port)]
    )
    action = Action(popen, port, tmp_path, tmp_path)
    try:
        until(lambda: connects(port))
        began = time.monotonic()
        assert action.init().status == 200
        assert time.monotonic() - began > 0.2
    finally:
        popen.kill()
        popen.wait()


def test_text_that_was_never_flushed_is_written_at_the_end(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        code = "import sys\nsys.stdout.write('no end')\ndef main(args):\n    return args"
        assert action.init(code).status == 200
        assert action.stop() == 0
        assert action.out.read_text() == "no end"


def test_a_crowd_that_says_nothing_where_files_are_few(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(ECHO).status == 200
        resource.prlimit(action.popen.pid, resource.RLIMIT_NOFILE, (24, 24))
        crowd = [socket.create_connection(("127.0.0.1", action.port)) for _ in range(60)]
        for number in range(3):
            assert action.run({"n": number}).json() == {"n": number}
        before = processor_seconds(action.popen.pid)
        time.sleep(0.5)
        assert processor_seconds(action.popen.pid) - before < 0.1, "it does not spin"
        told, _ = action.text()
        assert told.count("cannot accept a connection: Too many open files") == 1
        for connection in crowd:
            connection.close()

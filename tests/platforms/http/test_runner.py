"""The process: starting, what a caller gets over a socket, stopping."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.http.served import (
    Answer,
    Process,
    document,
    received,
    served,
    write_function,
)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("probe")
    settings = {"GPFN_THREADS": "2", "GPFN_REQUEST_TIMEOUT": "1.5", "GPFN_MAX_BODY_BYTES": "100000"}
    with served(write_function(folder), folder / "log", **settings) as process:
        yield process


def test_a_call_and_what_the_log_says(probe: Process) -> None:
    answer = probe.ask(body={"a": 1}, headers={"x-request-id": "call-7"})
    assert answer.status == 200
    assert answer.json() == {"pid": probe.popen.pid, "asked": {"a": 1}}
    assert probe.logged(" info http probe call=call-7 200 ")
    assert probe.logged(" B in ")


@pytest.mark.parametrize("path", ["/", "/probe", "/probe/", "/?query=1"])
def test_both_paths_call_it(probe: Process, path: str) -> None:
    assert probe.ask(path=path, body={}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/other", 404, None),
        ("POST", "/health", 404, None),
        ("GET", "/", 405, "POST"),
        ("PUT", "/probe", 405, "POST"),
        ("POST", "/health/live", 405, "GET, HEAD"),
    ],
)
def test_other_ways_are_told(
    probe: Process, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = probe.ask(method, path)
    assert answer.status == status
    assert document(answer)["type"] == "invalid-request"
    assert answer.headers.get("allow") == allow


def test_health(probe: Process) -> None:
    assert probe.ask("GET", "/health/live").json() == {"status": "live"}
    assert probe.ask("GET", "/health/ready").json() == {"status": "ready"}
    answer = probe.ask("HEAD", "/health/ready")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("body", "headers", "status", "error_type", "field"),
    [
        (b"", {}, 400, "invalid-request", "body"),
        (b"{", {}, 400, "invalid-request", "body"),
        ({}, {"content-encoding": "gzip"}, 400, "invalid-request", "body"),
        ({}, {"content-encoding": "br"}, 415, "unsupported-media", "content-encoding"),
        ({"break": 1}, {}, 502, "model-failed", None),
        ({"raise": 1}, {}, 500, "internal-error", None),
        ({"exit": 1}, {}, 500, "internal-error", None),
        ({"headers": [["x-a", "1\r\nset-cookie: x"]]}, {}, 500, "internal-error", None),
        ({"headers": [["x a", "1"]]}, {}, 500, "internal-error", None),
        ({"headers": [["x-a", "\u20ac"]]}, {}, 500, "internal-error", None),
    ],
)
def test_failures_are_documents_and_the_next_call_succeeds(
    probe: Process,
    body: object,
    headers: dict[str, str],
    status: int,
    error_type: str,
    field: str | None,
) -> None:
    answer = probe.ask(body=body, headers=headers)
    assert answer.status == status
    error = document(answer)
    assert error["type"] == error_type
    assert error.get("field") == field
    assert "secret" not in str(error)
    assert "set-cookie" not in answer.headers
    assert probe.ask(body={}).status == 200


def test_a_bug_is_logged_with_its_trace_and_a_callers_fault_is_not(probe: Process) -> None:
    probe.ask(body={"raise": 1}, headers={"x-request-id": "bug"})
    probe.ask(body=b"{", headers={"x-request-id": "fault"})
    assert probe.logged(" error http probe call=bug Traceback (most recent call last):\n")
    assert probe.logged(" error http probe call=bug KeyError: 'a secret of ours'\n")
    assert probe.logged(" info http probe call=fault 400 invalid-request: body: not JSON")
    assert " error http probe call=fault " not in probe.log.read_text()


def test_the_size_of_both_bodies_and_the_trace_id_are_logged(probe: Process) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-request-id": "traced", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = probe.ask(body={"a": 1}, headers=headers)
    sizes = f"8 B in {len(answer.body)} B out rss "
    assert probe.logged("=traced ")
    (line,) = [line for line in probe.log.read_text().splitlines() if "=traced " in line]
    assert f" call=traced trace={trace} 200 " in line
    assert sizes in line


def test_the_start_is_one_record(probe: Process) -> None:
    assert probe.logged(" info http probe ready: import 0.")
    assert probe.log.read_text().count(" ready: ") == 1


def test_a_call_id_that_would_break_the_log_is_replaced(probe: Process) -> None:
    for given in ("a b", "x" * 129, "\xe9"):
        probe.ask(body={}, headers={"x-request-id": given})
        assert f"call={given} " not in probe.log.read_text(encoding="utf-8")


def test_a_functions_own_headers_go_out_but_not_the_servers(probe: Process) -> None:
    wanted = [["X-A", "1"], ["Connection", "close"], ["Content-Length", "99"]]
    answer = probe.ask(body={"headers": wanted})
    assert answer.body == b"seen"
    assert answer.headers["x-a"] == "1"
    assert answer.headers["content-length"] == "4"
    assert "connection" not in answer.headers


def test_nothing_to_answer_is_204(probe: Process) -> None:
    answer = probe.ask(body={"nothing": 1})
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


def test_connections_are_kept(probe: Process) -> None:
    connection = probe.connect()
    for number in range(3):
        connection.request("POST", "/", b'{"n":%d}' % number)
        assert received(connection).status == 200
    assert "connection" not in received_of(connection, b"{")
    connection.request("POST", "/", b"{}")
    assert received(connection).status == 200
    connection.close()


def received_of(connection: object, body: bytes) -> dict[str, str]:
    connection.request("POST", "/", body)  # type: ignore[attr-defined]
    return received(connection).headers  # type: ignore[arg-type]


def test_the_deadline_is_kept_and_frees_the_caller(probe: Process) -> None:
    began = time.monotonic()
    answer = probe.ask(body={"sleep": 3})
    assert 1.4 < time.monotonic() - began < 2.9
    assert answer.status == 504
    assert document(answer)["type"] == "deadline-exceeded"
    assert probe.ask(body={}).status == 200  # the other thread


def test_health_answers_while_every_thread_is_busy(tmp_path: Path) -> None:
    settings = {"GPFN_THREADS": "1", "GPFN_QUEUE": "1", "GPFN_REQUEST_TIMEOUT": "2"}
    with served(write_function(tmp_path), tmp_path / "log", **settings) as process:
        answers: dict[str, Answer] = {}

        def call(name: str, body: object) -> threading.Thread:
            def run() -> None:
                answers[name] = process.ask(body=body)

            thread = threading.Thread(target=run)
            thread.start()
            time.sleep(0.2)
            return thread

        threads = [call("runs", {"sleep": 1.0}), call("waits", {})]
        began = time.monotonic()
        assert process.ask("GET", "/health/ready").status == 200
        assert time.monotonic() - began < 0.5
        refused = process.ask(body={})
        for thread in threads:
            thread.join()
        assert refused.status == 503
        assert document(refused)["type"] == "overloaded"
        assert refused.headers["retry-after"] == "1"
        assert (answers["runs"].status, answers["waits"].status) == (200, 200)


def test_what_waited_too_long_is_never_begun(tmp_path: Path) -> None:
    settings = {"GPFN_THREADS": "1", "GPFN_REQUEST_TIMEOUT": "0.5"}
    with served(write_function(tmp_path), tmp_path / "log", **settings) as process:
        threads = [
            threading.Thread(target=process.ask, kwargs={"body": {"sleep": 1.2}}) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(1.0)
        seen = process.ask(body={"seen": 1}).json()
        assert isinstance(seen, dict)
        assert seen["order"] == ["begun"]


def test_sigterm_answers_what_runs_and_ends_with_0(tmp_path: Path) -> None:
    with served(write_function(tmp_path), tmp_path / "log") as process:
        answers: list[Answer] = []
        idle = process.connect()
        idle.connect()
        thread = threading.Thread(target=lambda: answers.append(process.ask(body={"sleep": 1})))
        thread.start()
        time.sleep(0.3)
        assert process.stop() == 0
        thread.join()
        assert [answer.status for answer in answers] == [200]
        idle.close()


def test_sigterm_ends_a_process_whose_handler_hangs(tmp_path: Path) -> None:
    settings = {"GPFN_REQUEST_TIMEOUT": "0.5"}
    with served(write_function(tmp_path), tmp_path / "log", **settings) as process:
        assert process.ask(body={"sleep": 600}).status == 504
        assert process.stop() == 0


def test_sigterm_while_the_file_is_loaded(tmp_path: Path) -> None:
    file = write_function(tmp_path, "import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    command = "import sys; from gpfn.platforms.http.runner import main; main(sys.argv[1], port=0)"
    with subprocess.Popen(
        [sys.executable, "-c", command, str(file)], stdout=subprocess.PIPE
    ) as popen:
        assert popen.stdout
        assert popen.stdout.readline() == b"loading\n"
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(10) == 0


def fails(code: str, *args: str) -> str:
    """Run a main() that has to raise; return the last line of its trace."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    return done.stderr


MAIN = "import sys; from gpfn.platforms.http.runner import main; main(sys.argv[1], port={})"


def test_a_file_that_cannot_be_loaded(tmp_path: Path) -> None:
    assert "no such file" in fails(MAIN.format(0), str(tmp_path / "absent.py"))
    broken = write_function(tmp_path, "import nothing_like_this\n")
    stderr = fails(MAIN.format(0), str(broken))
    assert "SetupError" in stderr
    assert 'func.py", line 1' in stderr


def test_an_address_that_cannot_be_had(probe: Process, tmp_path: Path) -> None:
    file = write_function(tmp_path)
    stderr = fails(MAIN.format(probe.port), str(file))
    assert f"SetupError: cannot listen on 127.0.0.1:{probe.port}: " in stderr
    assert "SetupError: cannot listen on 127.0.0.1:99999: " in fails(MAIN.format(99999), str(file))


def test_a_quiet_log_has_failures_only(tmp_path: Path) -> None:
    file = write_function(tmp_path)
    log = tmp_path / "log"
    command = "import sys; from gpfn.platforms.http.runner import main; main(sys.argv[1], port=0)"
    with log.open("wb") as stderr:
        popen = subprocess.Popen(
            [sys.executable, "-c", command, str(file)],
            stderr=stderr,
            env={**os.environ, "GPFN_LOG": "quiet"},
        )
    time.sleep(1.5)
    popen.terminate()
    assert popen.wait(10) == 0
    assert log.read_text() == ""

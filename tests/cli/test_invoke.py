"""``gpfn invoke`` as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

GPFN = str(Path(sys.executable).parent / "gpfn")

SOURCE = """
import sys, time
from gpfn import Function, Payload
from gpfn.errors import InvalidTensor

def answer(payload):
    print("a line of the function's", file=sys.stderr)
    if payload.data == b"bad":
        raise InvalidTensor("expected 20 numbers", field="data")
    if payload.data == b"slow":
        time.sleep(60)
    if payload.header("x-a"):
        return [value for name, value in payload.headers if name == "x-a"]
    return Payload(payload.data, payload.media_type)

function = Function(answer, takes="payload")
handler = function.fn
main = function.openwhisk
app = function.asgi
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "func.py").write_text(SOURCE)
    return tmp_path


def invoke(
    *words: str, stdin: bytes | None = b"", cwd: Path | None = None
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [GPFN, "invoke", *words], input=stdin, capture_output=True, timeout=60, cwd=cwd, check=False
    )


@pytest.mark.parametrize("platform", ["fn", "fdk", "http", "openwhisk", "call"])
def test_an_answer_is_on_stdout_and_nothing_else(folder: Path, platform: str) -> None:
    run = invoke(str(folder), "--platform", platform, stdin=b"hello")
    assert (run.returncode, run.stdout) == (0, b"hello\n")
    if platform != "call":
        assert run.stderr == b""


@pytest.mark.parametrize("platform", ["fn", "fdk", "http", "openwhisk", "call"])
def test_a_failure_is_on_stderr_and_exits_1(folder: Path, platform: str) -> None:
    run = invoke(str(folder), "--platform", platform, stdin=b"bad")
    assert (run.returncode, run.stdout) == (1, b"")
    document = json.loads(run.stderr.splitlines()[-1])["error"]
    assert (document["type"], document["field"]) == ("invalid-tensor", "data")
    assert b"a line of the function's" in run.stderr


def test_a_newline_is_added_only_when_there_is_none(folder: Path) -> None:
    assert invoke(str(folder), stdin=b"a\n").stdout == b"a\n"
    assert invoke(str(folder), stdin=b"").stdout == b"\n"
    assert invoke(str(folder), stdin=b"\xff\x00").stdout == b"\xff\x00\n"


def test_logs(folder: Path) -> None:
    run = invoke(str(folder), "--logs", stdin=b"x")
    assert b"a line of the function's" in run.stderr
    assert run.stdout == b"x\n"


def test_data_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"from a file")
    assert invoke(str(folder), "--data", str(tmp_path / "body")).stdout == b"from a file\n"
    run = invoke(str(folder), "--data", str(tmp_path / "absent"))
    assert run.returncode == 1
    assert b"absent: cannot be read: No such file" in run.stderr


def test_no_standard_input_is_an_empty_body(folder: Path) -> None:
    primary, secondary = os.openpty()
    try:
        run = subprocess.run(
            [GPFN, "invoke", str(folder)],
            stdin=secondary,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(primary)
        os.close(secondary)
    assert (run.returncode, run.stdout) == (0, b"\n")
    assert b"no standard input, so the body is empty" in run.stderr


@pytest.mark.parametrize("platform", ["fn", "http", "call"])
def test_headers_may_repeat(folder: Path, platform: str) -> None:
    run = invoke(
        str(folder), "--platform", platform, "--header", "X-A: 1", "--header", "x-a:2", stdin=b"x"
    )
    assert run.stdout == b'["1","2"]\n'


def test_parameters_as_wsk_takes_them(folder: Path) -> None:
    (folder / "p.json").write_text('{"a": 1, "b": 1}')
    words = ("-P", str(folder / "p.json"), "-p", "b", "[2]", "--param", "c", 'say "hi"\n')
    run = invoke(str(folder), "--platform", "openwhisk", *words, stdin=None)
    assert json.loads(run.stdout) == {"a": 1, "b": [2], "c": 'say "hi"\n'}
    assert invoke(str(folder), *words, stdin=None).stdout == run.stdout.replace(
        b",", b", "
    ).replace(b":", b": ")


def test_the_log_of_an_activation(folder: Path) -> None:
    run = invoke(str(folder), "--platform", "openwhisk", "--logs", stdin=b'{"a": 1}')
    assert json.loads(run.stdout) == {"a": 1}
    log = run.stderr.decode()
    assert "a line of the function's" in log
    assert re.search(r"^.{24} info openwhisk \S+ call=\w+ 200 .* ms \(decode ", log, re.MULTILINE)
    assert "listening" not in log
    assert "XXX_THE_END" not in log


@pytest.mark.parametrize("header", ["no colon", "a b: c", "x: a\r\ny: b", "x: \u20ac", ": x"])
def test_a_header_that_is_none_is_wrong_usage(folder: Path, header: str) -> None:
    run = invoke(str(folder), "--header", header)
    assert run.returncode == 2
    assert b"--header" in run.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--repeat", "0"],
        ["--timeout", "x"],
        ["--platform", "lambda"],
        ["--as-trigger", "--platform", "http"],
        ["--data", "x", "-p", "a", "1"],
        ["-p", "a"],
    ],
)
def test_wrong_usage(folder: Path, words: list[str]) -> None:
    assert invoke(str(folder), *words).returncode == 2


def test_content_type_comes_from_the_option_then_func_yaml_then_is_fns(folder: Path) -> None:
    def content_type(*words: str) -> str:
        run = invoke(str(folder), "--json", *words, stdin=b"x")
        headers = dict(json.loads(run.stdout)["headers"])
        found: str = headers["content-type"]
        return found

    assert content_type() == "text/plain"
    (folder / "func.yaml").write_text("content_type: text/csv\n")
    assert content_type() == "text/csv"
    assert content_type("--content-type", "image/png") == "image/png"


def test_json_tells_everything(folder: Path) -> None:
    run = invoke(str(folder), "--json", "--repeat", "4", "--as-trigger", stdin=b'{"a": 1}')
    told = json.loads(run.stdout)
    assert (told["status"], told["body"]) == (200, '{"a": 1}')
    assert told["timings"]["calls"] == 4
    assert 0 < told["timings"]["later_calls_median"] < told["timings"]["start"]
    run = invoke(str(folder), "--json", "--as-trigger", stdin=b"bad")
    told = json.loads(run.stdout)
    assert run.returncode == 1
    assert (told["status"], told["body"]["error"]["type"]) == (400, "invalid-tensor")
    run = invoke(str(folder), "--json", stdin=b"\xff")
    assert json.loads(run.stdout)["body"] == {"base64": "/w=="}


def test_timings_are_a_table_on_stderr(folder: Path) -> None:
    run = invoke(str(folder), "--timings", "--repeat", "3", stdin=b"x")
    assert run.stdout == b"x\n"
    names = [line.split(b"  ")[0].strip() for line in run.stderr.splitlines()]
    assert b"start-up" in names
    assert b"first call" in names
    assert b"later calls, median of 2" in names


def test_a_deadline_that_is_past(folder: Path) -> None:
    run = invoke(str(folder), "--timeout", "0", stdin=b"x")
    assert run.returncode == 1
    assert b"deadline-exceeded" in run.stderr


def test_a_function_that_hangs(folder: Path) -> None:
    began = time.monotonic()
    run = invoke(str(folder), "--timeout", "1", stdin=b"slow")
    assert run.returncode == 1
    assert b"no answer within 1 s" in run.stderr
    assert time.monotonic() - began < 20


@pytest.fixture
def temporary() -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield folder


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


HEEDING_SIGINT = ("env", "--default-signal=INT")
"""What a shell starts in the background ignores SIGINT, as tests may be."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("platform", ["fn", "http", "openwhisk"])
def test_interrupted_it_ends_the_function_and_leaves_nothing(
    folder: Path, temporary: str, number: signal.Signals, platform: str
) -> None:
    process = subprocess.Popen(
        [*HEEDING_SIGINT, GPFN, "invoke", str(folder), "--platform", platform],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": temporary},
    )
    assert process.stdin is not None
    process.stdin.write(b"slow")
    process.stdin.close()
    try:
        end = time.monotonic() + 20
        while not (started := children(process.pid)) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.7)  # until the call is on its way
        process.send_signal(number)
        assert process.wait(20) in (130, 143)
        for pid in started:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert list(Path(temporary).iterdir()) == []
    finally:
        process.kill()
        process.wait()

"""``.asgi`` on a server of somebody else's: uvicorn runs the file that `gpfn run http` serves."""

import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT

FUNCTION = ROOT / "functions" / "forecast"
EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--port", str(number), "--app-dir", str(FUNCTION)]
    log = tmp_path_factory.mktemp("uvicorn") / "log"
    with log.open("wb") as output:
        popen = subprocess.Popen([*command, "func:app"], stdout=output, stderr=output)
    until = time.monotonic() + 60
    while not _listens(number):
        assert popen.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    yield number
    popen.terminate()
    assert popen.wait(30) in (0, -15)  # it sends itself the signal again when it is done
    assert "Traceback" not in log.read_text()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def ask(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, content


STRUCTURED = "application/cloudevents+json"


def test_an_event_is_answered_by_an_event(port: int) -> None:
    status, headers, body = ask(port, "POST", "/", EVENT, content_type=STRUCTURED, x_request_id="a")
    assert (status, headers["content-type"], headers["x-request-id"]) == (200, STRUCTURED, "a")
    reply = json.loads(body)
    assert reply["type"] == "com.example.forecast.response"
    assert len(reply["data"][0]) == 20


def test_a_compressed_event(port: int) -> None:
    packed = gzip.compress(EVENT)
    status, _, body = ask(
        port, "POST", "/forecast", packed, content_type=STRUCTURED, content_encoding="gzip"
    )
    assert status == 200
    assert len(json.loads(body)["data"][0]) == 20
    bomb = gzip.compress(bytes(20 << 20))
    assert ask(port, "POST", "/", bomb, content_encoding="gzip")[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/health/live", b"", 200),
        ("GET", "/health/ready", b"", 200),
        ("POST", "/nowhere", b"[]", 404),
        ("GET", "/", b"", 405),
        ("POST", "/", b"[1, 2, 3]", 400),
        ("POST", "/", b"{", 400),
        ("POST", "/", bytes(7 << 20), 413),
    ],
)
def test_routes_and_errors(port: int, method: str, path: str, body: bytes, expected: int) -> None:
    status, headers, content = ask(port, method, path, body, content_type="application/json")
    assert status == expected, content
    if expected >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(content)["error"]["status"] == expected


def test_metrics(port: int) -> None:
    ask(port, "POST", "/", EVENT, content_type=STRUCTURED)
    status, _, body = ask(port, "GET", "/metrics")
    assert status == 200
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"gpfn_calls", "gpfn_call_duration_seconds"} <= names

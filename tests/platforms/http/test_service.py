"""The function over HTTP as its callers use it: events in every mode, bodies of every kind."""

import base64
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.alone import resident
from tests.conftest import ROOT
from tests.platforms.http.served import Answer, Process, document, served, write_function

FORECAST = f"""
from gpfn import Function, TensorSpec
from gpfn.tensors import windows

app = Function(
    model={str(ROOT / "functions" / "forecast" / "forecast.tflite")!r},
    inputs={{"series": TensorSpec("float32")}},
    before=lambda series: windows(series, (20, 1)),
    output="forecast",
    name="forecast",
).asgi
"""

SERIES = [[value / 20] for value in range(20)]
EVENT = {"id": "7", "source": "/tests", "type": "series", "subject": "sales"}


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("forecast")
    with served(write_function(folder, FORECAST), folder / "log") as process:
        yield process


@pytest.fixture(scope="module")
def expected(forecast: Process) -> list[Any]:
    """The forecast for SERIES, by the plainest call there is."""
    answer = forecast.ask(body=[SERIES])
    assert answer.status == 200
    forecasts = answer.json()
    assert isinstance(forecasts, list)
    assert np.asarray(forecasts).shape == (1, 20, 1)
    return forecasts


def send(process: Process, message: HTTPMessage) -> Answer:
    return process.ask(body=bytes(message.body), headers=dict(message.headers))


def sdk_event(answer: Answer) -> Any:
    assert answer.status == 200, answer
    event = from_http_event(HTTPMessage(answer.headers, answer.body))
    assert event.get_type() == "series.response"
    assert event.get_subject() == "sales"
    assert event.get_id() != "7"
    return event


@pytest.mark.parametrize("mode", [to_structured, to_binary])
def test_the_public_sdk_as_a_client(forecast: Process, expected: list[Any], mode: Any) -> None:
    event = CloudEvent({**EVENT, "datacontenttype": "application/json"}, [SERIES])
    answer = send(forecast, mode(event, JSONFormat()))
    assert ("ce-id" in answer.headers) == (mode is to_binary)
    assert sdk_event(answer).get_data() == expected


def test_data_base64_and_bare_bytes(forecast: Process, expected: list[Any]) -> None:
    event = {
        **EVENT,
        "specversion": "1.0",
        "datacontenttype": "application/octet-stream",
        "data_base64": base64.b64encode(np.array(SERIES, "<f4").tobytes()).decode(),
    }
    answer = forecast.ask(body=event, headers={"content-type": "application/cloudevents+json"})
    reply = sdk_event(answer)
    numbers = np.frombuffer(reply.get_data(), "<f4").reshape(1, 20, 1)
    assert np.allclose(numbers, expected)
    assert reply.get_extension("shape") == "1,20,1"
    assert reply.get_extension("dtype") == "float32"


def test_a_batch(forecast: Process, expected: list[Any]) -> None:
    event = {**EVENT, "specversion": "1.0", "datacontenttype": "application/json"}
    batch = [{**event, "data": [SERIES]}, {**event, "id": "8", "data": [1]}]
    answer = forecast.ask(
        body=batch, headers={"content-type": "application/cloudevents-batch+json"}
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    good, bad = json.loads(answer.body)
    assert good["data"] == expected
    assert bad["type"] == "series.error"
    assert bad["data"]["error"]["detail"] == "expected 20 numbers or a multiple of 20, got 1"


def test_other_data_comes_back_as_it_came(forecast: Process, expected: list[Any]) -> None:
    raw = np.array(SERIES, "<f4").tobytes()
    answer = forecast.ask(body=raw, headers={"content-type": "application/octet-stream"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.allclose(np.frombuffer(answer.body, "<f4").reshape(1, 20, 1), expected)
    inputs = [{"name": "series", "shape": [20], "datatype": "FP32", "data": SERIES}]
    inputs[0]["data"] = [value for [value] in SERIES]
    answer = forecast.ask(body={"inputs": inputs})
    outputs = json.loads(answer.body)["outputs"]
    assert [(output["name"], output["shape"]) for output in outputs] == [("forecast", [1, 20, 1])]


@pytest.mark.parametrize(
    ("body", "headers", "status", "error_type", "field"),
    [
        (list(range(19)), {}, 400, "invalid-tensor", "data"),
        ([["a"]], {}, 400, "invalid-tensor", "body[0][0]"),
        ([[1, 2], [3]], {}, 400, "invalid-tensor", "body[1]"),
        (b"[" * 20000, {}, 400, "invalid-request", "body"),
        (b"<a/>", {"content-type": "application/xml"}, 415, "unsupported-media", None),
        (b"{}", {"content-type": "application/cloudevents+json"}, 400, "invalid-event", None),
        (
            {"specversion": "9", **EVENT},
            {"content-type": "application/cloudevents+json"},
            400,
            "invalid-event",
            "specversion",
        ),
        (b"[1]", {"ce-specversion": "1.0", "ce-id": "1"}, 400, "invalid-event", None),
        (
            {"specversion": "1.0", **EVENT, "data": [1], "expirytime": "2020-01-01T00:00:00Z"},
            {"content-type": "application/cloudevents+json"},
            504,
            "deadline-exceeded",
            None,
        ),
    ],
)
def test_bad_input_is_told_and_the_next_call_succeeds(
    forecast: Process,
    expected: list[Any],
    body: object,
    headers: dict[str, str],
    status: int,
    error_type: str,
    field: str | None,
) -> None:
    answer = forecast.ask(body=body, headers=headers)
    assert answer.status == status, answer
    error = document(answer)
    assert error["type"] == error_type
    if field is not None:
        assert error["field"] == field
    assert forecast.ask(body=[SERIES]).json() == expected


@pytest.mark.parametrize("stated", [True, False])
def test_a_hundred_megabytes_are_refused_without_being_kept(
    forecast: Process, stated: bool
) -> None:
    before = resident(forecast.popen.pid)
    connection = forecast.connect()
    zeros = bytes(1 << 20)
    connection.putrequest("POST", "/")
    connection.putheader("content-type", "application/json")
    if stated:
        connection.putheader("content-length", str(100 << 20))
    else:
        connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    for _ in range(100):
        connection.send(zeros if stated else b"100000\r\n" + zeros + b"\r\n")
    if not stated:
        connection.send(b"0\r\n\r\n")
    response = connection.getresponse()
    answer = Answer(
        response.status, {"content-type": response.getheader("content-type") or ""}, response.read()
    )
    assert document(answer)["type"] == "too-large"
    assert response.getheader("connection") == "close"
    assert resident(forecast.popen.pid) - before < 32 << 20
    connection.close()


def test_curl_sends_an_event_and_keeps_to_expect_100(forecast: Process, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(7 << 20))
    url = f"http://127.0.0.1:{forecast.port}/"
    command = ["curl", "-s", "-w", "%{http_code} %{size_upload}", "-o", "-", url]
    event = [
        "-H",
        "ce-specversion: 1.0",
        "-H",
        "ce-id: 1",
        "-H",
        "ce-source: /c",
        "-H",
        "ce-type: t",
    ]
    data = ["-H", "content-type: application/json", "-d", json.dumps([SERIES])]
    done = subprocess.run([*command, *event, *data], capture_output=True, check=True, timeout=20)
    assert done.stdout.startswith(b"[[[")
    assert b"]200 " in done.stdout
    refused = subprocess.run(
        [*command, "-H", "expect: 100-continue", "--data-binary", f"@{big}"],
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert refused.stdout.endswith(b"413 0"), refused.stdout[-200:]


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    file = write_function(tmp_path, FORECAST)
    with (
        served(file, tmp_path / "log", GPFN_BODY_TIMEOUT="0.5") as process,
        socket.create_connection(("127.0.0.1", process.port)) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[")
        client.settimeout(20)
        assert client.recv(99).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_away_costs_nothing(forecast: Process, expected: list[Any]) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", forecast.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n[")
    assert forecast.ask(body=[SERIES]).json() == expected
    assert "Traceback" not in forecast.log.read_text()


def test_bad_calls_leave_nothing_behind(forecast: Process) -> None:
    connection = forecast.connect()

    def ask_badly(times: int) -> None:
        for number in range(times):
            connection.request("POST", "/", b"[[1, 2], [%d]]" % number)
            response = connection.getresponse()
            assert response.status == 400
            response.read()

    ask_badly(500)
    before = resident(forecast.popen.pid)
    ask_badly(2000)
    assert resident(forecast.popen.pid) - before < 1 << 20
    connection.close()


def test_a_model_server_that_refuses(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can have it
        source = FORECAST.replace(
            repr(str(ROOT / "functions" / "forecast" / "forecast.tflite")), "'env:GP_SERVER_URL'"
        )
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        file = write_function(tmp_path, source)
        with served(file, tmp_path / "log", GP_SERVER_URL=url) as process:
            answer = process.ask(body=[SERIES])
            assert answer.status == 502
            assert document(answer)["type"] == "backend-unreachable"
            assert process.ask("GET", "/health/live").status == 200


def test_a_model_that_is_absent_is_not_ready(tmp_path: Path) -> None:
    source = FORECAST.replace("forecast.tflite", "absent.tflite")
    with served(write_function(tmp_path, source), tmp_path / "log") as process:
        assert process.ask("GET", "/health/live").status == 200
        answer = process.ask("GET", "/health/ready")
        assert answer.status == 503
        assert "absent.tflite" in str(document(answer)["detail"])
        assert process.ask(body=[SERIES]).status == 500


SLOW = """
import time
from gpfn import Function

class Slow(Function):
    def _open(self):
        time.sleep(1.2)
        return super()._open()

app = Slow(lambda payload: {"ok": True}, takes="payload", name="slow").asgi
"""


def test_a_model_that_takes_longer_than_the_window(tmp_path: Path) -> None:
    file = write_function(tmp_path, SLOW)
    with served(file, tmp_path / "log", GPFN_START_WINDOW="0.3") as process:
        assert process.logged("still opening the model after 0.3 s")
        assert process.ask("GET", "/health/live").status == 200
        answer = process.ask("GET", "/health/ready")
        assert answer.status == 503
        assert document(answer)["type"] == "not-ready"
        assert answer.headers["retry-after"] == "1"
        assert process.ask(body={}).json() == {"ok": True}  # waits for it
        assert process.ask("GET", "/health/ready").status == 200


ASYNC = """
import asyncio
from gpfn import Function

running = most = 0

async def wait(payload):
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(payload.json()["sleep"])
    running -= 1
    return {"most": most}

app = Function(wait, takes="payload").asgi
"""


def test_an_async_function_runs_on_the_loop(tmp_path: Path) -> None:
    file = write_function(tmp_path, ASYNC)
    settings = {"GPFN_THREADS": "1", "GPFN_REQUEST_TIMEOUT": "1"}
    with served(file, tmp_path / "log", **settings) as process:
        connections = [process.connect() for _ in range(8)]
        began = time.monotonic()
        for connection in connections:
            connection.request("POST", "/", b'{"sleep": 0.3}')
        seen = [json.loads(connection.getresponse().read())["most"] for connection in connections]
        assert time.monotonic() - began < 1.5
        assert max(seen) == 8
        answer = process.ask(body={"sleep": 5})
        assert answer.status == 504
        for connection in connections:
            connection.close()

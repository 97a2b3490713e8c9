"""Spans of requests, as a collector gets them."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.errors import BackendError, GpfnError, ModelFailed, SetupError
from gpfn.graphpipe import Client
from gpfn.models import open_model
from gpfn.oip.grpc_client import GrpcInferenceClient
from gpfn.scope import SCOPE, CallScope
from gpfn.serving import Server, ServerSettings
from gpfn.serving.spans import MOST_WAITING
from gpfn.serving.tracing import TracedService, traces_endpoint
from gpfn.traceparent import PARENT
from tests.cli.serving import serve, wait_for

from .collector import Collector, attributes, collector
from .serving import Doubler, message, running

X = np.array([[1, 2]], np.float32)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]}'
SERVER, ERROR = 2, 2  # SPAN_KIND_SERVER, STATUS_CODE_ERROR


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and a server's environment in which spans are sent at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collector() as found:
        yield found


def test_a_request_has_one_span(kept: Collector) -> None:
    before = time.time_ns()
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        run.infer(X)
        (span,) = kept.wait_for(1)
    assert kept.paths == ["/v1/traces"]
    assert (span.name, span.kind, span.status.code) == ("infer model", SERVER, 0)
    assert before < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns()
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    found = attributes(span)
    assert 0 <= found.pop("gpfn.queue_seconds") < 5
    assert 0 < found.pop("gpfn.compute_seconds") < 5
    assert found == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/",
        "url.scheme": "http",
        "gpfn.model": "model",
        "gpfn.version": "1",
        "gpfn.batch_rows": 1,
    }
    (resource,) = kept.resources
    assert resource["service.name"] == "gpfn"
    assert resource["process.pid"] == os.getpid()


def test_every_protocol_and_nothing_but_posts(kept: Collector) -> None:
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        run.infer(X)
        assert run.ask("POST", "/graphpipe/model", message(X))[0] == 200
        assert run.ask("POST", "/v2/models/model/infer?a=b", BODY)[0] == 200
        instances = b'{"instances": [[1, 2], [3, 4], [5, 6]]}'
        assert run.ask("POST", "/v1/models/model:predict", instances)[0] == 200
        for path in ("/v2/health/ready", "/metrics", "/v2"):
            assert run.ask("GET", path)[0] == 200
        spans = kept.wait_for(4)
        time.sleep(0.2)
        assert len(kept.spans) == 4
        text = run.ask("GET", "/metrics")[2].decode()
        assert 'gpfn_spans_total{result="sent"} 4' in text
    found = {attributes(span)["url.path"]: attributes(span) for span in spans}
    assert [*found] == [
        "/",
        "/graphpipe/model",
        "/v2/models/model/infer",
        "/v1/models/model:predict",
    ]


@pytest.mark.parametrize(("flags", "sent"), [("01", 1), ("00", 0), ("03", 1)])
def test_the_callers_trace_goes_on_and_its_flag_is_heeded(
    kept: Collector, flags: str, sent: int
) -> None:
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        run.infer(X, traceparent=f"00-{TRACE}-{SPAN}-{flags}", tracestate="a=b")
        run.infer(X, traceparent="00-nonsense")
        spans = kept.wait_for(1 + sent)
        time.sleep(0.2)
        assert len(kept.spans) == 1 + sent
    theirs = [span for span in spans if span.trace_id.hex() == TRACE]
    assert [span.parent_span_id.hex() for span in theirs] == [SPAN] * sent
    assert [span.trace_state for span in theirs] == ["a=b"] * sent
    assert [span.parent_span_id for span in spans if span not in theirs] == [b""]


def test_failures_are_told_and_whose_they_are(kept: Collector) -> None:
    def fail(x: np.ndarray) -> None:
        raise ModelFailed("no") if x[0, 0] == 1 else GpfnError("bug")

    with running(Doubler(fail), otlp=f"{kept.url}/v1/traces") as run:
        assert run.ask("POST", body=message(X))[0] == 502
        assert run.ask("POST", "/v2/models/model/infer", b"{")[0] == 400
        assert run.ask("POST", "/v2/models/none/infer", BODY)[0] == 404
        spans = kept.wait_for(3)
    by_status = {attributes(span)["http.response.status_code"]: span for span in spans}
    assert by_status[502].status.code == ERROR
    assert attributes(by_status[502])["error.type"] == "502"
    assert attributes(by_status[502])["gpfn.model"] == "model"
    for status in (400, 404):
        assert (by_status[status].status.code, by_status[status].name) == (0, "POST")


def test_a_batch_tells_its_rows_and_the_time_of_waiting(kept: Collector) -> None:
    let_go = threading.Event()

    def wait(x: np.ndarray) -> None:
        if x[0, 0] == 1:
            assert let_go.wait(10)

    with running(Doubler(wait), otlp=f"{kept.url}/v1/traces", max_batch=8, threads=1) as run:
        threads = [threading.Thread(target=run.infer, args=(X,))]
        threads[0].start()
        while not run.service.library.find("model").engine.load:
            time.sleep(0.01)
        threads += [threading.Thread(target=run.infer, args=(X + n,)) for n in (1, 2)]
        for thread in threads[1:]:
            thread.start()
        while run.service.library.find("model").engine.load < 3:
            time.sleep(0.01)
        time.sleep(0.1)
        let_go.set()
        for thread in threads:
            thread.join()
        found = [attributes(span) for span in kept.wait_for(3)]
    assert sorted(each["gpfn.batch_rows"] for each in found) == [1, 2, 2]
    for each in found:
        if each["gpfn.batch_rows"] == 1:
            assert each["gpfn.compute_seconds"] >= 0.1
        else:
            assert each["gpfn.queue_seconds"] >= 0.1


def test_a_server_behind_has_the_span_as_its_parent(kept: Collector) -> None:
    seen: list[str] = []

    def behind(x: np.ndarray) -> np.ndarray:
        if x.any():
            seen.append(PARENT.get())
        return x * 2

    with Server({"behind": behind}) as far:
        model = open_model(f"{far.url}/v2/models/behind")
        with running(model, otlp=f"{kept.url}/v1/traces") as run:
            assert run.ask("POST", "/v2/models/model/infer", BODY)[0] == 200
            (span,) = kept.wait_for(1)
        model.close()
    (parent,) = seen
    assert parent[:-2] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-"
    assert int(parent[-2:], 16) & 1, "it is sampled"


def test_calls_over_grpc_have_spans_too(kept: Collector) -> None:
    settings = ServerSettings(port=0, grpc="127.0.0.1:0", otlp=f"{kept.url}/v1/traces")
    with Server({"model": Doubler()}, settings) as server:
        client = GrpcInferenceClient(f"grpc://127.0.0.1:{server.grpc_port}")
        PARENT.set(f"00-{TRACE}-{SPAN}-01")
        client.infer("model", {"x": X})
        PARENT.set("")
        client.infer("model", {"x": X})
        with pytest.raises(BackendError):
            client.infer("none", {"x": X})
        client.close()
        spans = kept.wait_for(3)
    assert [span.name for span in spans] == ["infer model", "infer model", "infer"]
    assert spans[0].trace_id.hex() == TRACE
    assert spans[0].parent_span_id.hex() == SPAN
    assert spans[1].parent_span_id == b""
    found = [attributes(span) for span in spans]
    told = [each["rpc.response.status_code"] for each in found]
    assert told == ["OK", "OK", "NOT_FOUND"]
    assert {each["rpc.method"] for each in found} == {"inference.GRPCInferenceService/ModelInfer"}
    assert [each.get("gpfn.batch_rows") for each in found] == [1, 1, None]
    assert [span.status.code for span in spans] == [0, 0, 0], "it was the caller's fault"


def test_nobody_waits_for_a_collector_that_does_not_answer(kept: Collector) -> None:
    kept.delay = 60.0
    more = 300
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        connection = run.connect()
        body = message(X)
        slowest = 0.0
        for _ in range(MOST_WAITING + more):
            began = time.monotonic()
            connection.request("POST", "/", body)
            assert connection.getresponse().read()
            slowest = max(slowest, time.monotonic() - began)
        text = run.ask("GET", "/metrics")[2].decode()
        connection.close()
        dropped = [
            line for line in text.splitlines() if 'gpfn_spans_total{result="dropped"}' in line
        ]
        sent = [line for line in text.splitlines() if 'gpfn_spans_total{result="sent"}' in line]
        began = time.monotonic()
    assert time.monotonic() - began < 30, "nor at the end"
    assert slowest < 20
    done = int(sent[0].rpartition(" ")[2]) if sent else 0
    assert 0 < int(dropped[0].rpartition(" ")[2]) <= more
    assert int(dropped[0].rpartition(" ")[2]) >= more - done


def test_a_collector_that_refuses_is_told_in_the_log(
    kept: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    kept.status = 400
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        for _ in range(5):
            run.infer(X)
            time.sleep(0.1)
        while 'gpfn_spans_total{result="failed"} 5' not in run.ask("GET", "/metrics")[2].decode():
            time.sleep(0.05)
    lines = [line for line in capfd.readouterr().err.splitlines() if "traces: " in line]
    assert len(lines) == 1, "and once is enough"
    assert "warning serve" in lines[0]


def test_what_waits_at_the_end_is_sent(kept: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with running(Doubler(), otlp=f"{kept.url}/v1/traces") as run:
        for _ in range(3):
            run.infer(X)
        assert kept.spans == []
    assert len(kept.spans) == 3


def test_each_process_sends_its_own(kept: Collector, root: Path, tmp_path: Path) -> None:
    """The sender's thread is started behind the fork."""
    model = str(root / "models" / "forecast.tflite")
    options = ["--model", f"forecast={model}", "--workers", "2", "--otlp", kept.url]
    environ = {**os.environ, "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_SERVICE_NAME": "shop"}
    series = {"name": "series", "datatype": "FP32", "shape": [1, 20, 1], "data": [0.0] * 20}
    body = json.dumps({"inputs": [series]}).encode()
    with serve(tmp_path, *options, environ=environ) as served:
        wait_for(served.log, served.process, "(?s)( ready: ).* ready: ")
        asked = 0
        while len({each["process.pid"] for each in kept.resources}) < 2:
            assert asked < 500
            request = urllib.request.Request(served.url + "/v2/models/forecast/infer", body)
            with urllib.request.urlopen(request, timeout=10) as reply:
                assert reply.status == 200
            asked += 1
            time.sleep(0.01)
        assert served.stop() == 0
    assert len(kept.spans) == asked, "what was left was sent at the end"
    assert {each["service.name"] for each in kept.resources} == {"shop"}


@pytest.mark.parametrize(
    ("flag", "environ", "expected"),
    [
        ("http://c:4318", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/", {}, "http://c:4318/v1/traces"),
        ("https://c/otlp/v1/traces", {}, "https://c/otlp/v1/traces"),
        ("", {}, ""),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/x"}, "http://c/x/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/y"}, "http://c:1/y"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, ""),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ("http://d", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "http://d/v1/traces"),
    ],
)
def test_where_spans_go(flag: str, environ: dict[str, str], expected: str) -> None:
    assert traces_endpoint(flag, environ) == expected


@pytest.mark.parametrize("flag", ["c:4318", "ftp://c", "http://", "http://[", "http://c:99999999"])
def test_where_spans_cannot_go(flag: str) -> None:
    with pytest.raises(SetupError, match="expected http://HOST:PORT"):
        traces_endpoint(flag, {})


def test_without_it_nothing_is_loaded() -> None:
    code = (
        "import sys, tests.serving.serving as s\n"
        "with s.running(s.Doubler()) as run: run.infer(s.np.ones((1, 2), s.np.float32))\n"
        "print(*[name for name in sys.modules if 'opentelemetry' in name or 'tracing' in name])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "\n"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpfn.serving.tracing.find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"pip install 'gpfn\[otel\]'"):
        Server({}, ServerSettings(port=0, otlp="http://127.0.0.1:9/v1/traces"))


def test_a_service_that_has_not_begun_sends_nothing() -> None:
    server = Server({"model": Doubler()}, ServerSettings(port=0, otlp="http://127.0.0.1:9/x"))
    assert isinstance(server.service, TracedService)
    server.stop()


def test_stages_are_one_tree_and_times_are_the_same_one(kept: Collector) -> None:
    """multiply goes on to add: its span is the parent of add's, as it holds add's time."""
    otlp = f"{kept.url}/v1/traces"
    table = TensorSpec("float32", (None, None))
    steps = [
        Function(step, inputs={"x": table}, outputs={"y": table}).as_model()
        for step in (lambda x: {"y": 2 * x}, lambda x: {"y": x + 1})
    ]
    with Server({"add": steps[1]}, ServerSettings(port=0, otlp=otlp)) as add:
        settings = ServerSettings(port=0, otlp=otlp, next_url=add.url)
        with Server({"multiply": steps[0]}, settings) as multiply, Client(multiply.url) as client:
            scope = CallScope([])
            tokens = SCOPE.set(scope), PARENT.set(f"00-{TRACE}-{SPAN}-01")
            try:
                client.infer([X])
            finally:
                SCOPE.reset(tokens[0])
                PARENT.reset(tokens[1])
            kept.wait_for(2)
            time.sleep(0.2)
    spans = {span.name: span for span in kept.spans if span.name.startswith("infer ")}
    assert [*sorted(spans)] == ["infer add", "infer multiply"]
    outer, inner = spans["infer multiply"], spans["infer add"]
    assert {outer.trace_id.hex(), inner.trace_id.hex()} == {TRACE}
    assert outer.parent_span_id.hex() == SPAN
    assert inner.parent_span_id == outer.span_id
    times = {took.name: took.seconds for took in scope.timings or ()}
    assert times["total"] > times["next"] > times["next.total"] > 0
    took = (outer.end_time_unix_nano - outer.start_time_unix_nano) / 1e9
    assert abs(took - times["total"]) < 0.02

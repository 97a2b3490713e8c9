"""What a stage's server says of itself, and what is made of it; from servers that say anything."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpfn.pipelines.asking import (
    Meter,
    ServedStage,
    StageFigures,
    find_holder,
    find_served,
    is_listening,
    is_ready,
    read_figures,
)
from gpfn.tensors.spec import TensorSpec
from tests.pipelines.toy import free_ports

METRICS = """\
# HELP gpfn_inference_requests_total Requests that were answered.
gpfn_inference_requests_total{{model="a",version="1"}} {calls}
gpfn_inference_requests_total{{model="b",version="1"}} 2
gpfn_inference_failures_total{{model="a",version="1",reason="caller"}} 1
gpfn_inference_failures_total{{model="a",version="1",reason="model"}} 2
gpfn_inference_duration_seconds_bucket{{model="a",version="1",le="0.1"}} 9
gpfn_inference_duration_seconds_sum{{model="a",version="1"}} {seconds}
gpfn_inference_duration_seconds_count{{model="a",version="1"}} 5
process_resident_memory_bytes 36835328
"""


@contextmanager
def saying(answers: dict[str, str]) -> Iterator[str]:
    """Serve these texts by their paths, and 404 for all else."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = answers.get(self.path, "").encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_figures_are_summed_over_models() -> None:
    text = METRICS.format(calls=5, seconds=0.25)
    assert read_figures(text) == StageFigures(calls=10, failed=3, seconds=0.25, rss=36835328)
    assert read_figures("") == StageFigures()


def test_a_meter_counts_on_when_a_stage_begins_anew() -> None:
    answers = {"/metrics": METRICS.format(calls=5, seconds=0.5)}
    with saying(answers) as url:
        meter = Meter(url)
        assert meter.milliseconds() is None
        assert meter.look() == StageFigures(10, 3, 0.5, 36835328)
        assert meter.milliseconds() == pytest.approx(500 / 7)  # those that failed have no time
        answers["/metrics"] = METRICS.format(calls=9, seconds=0.6)
        assert meter.look() == StageFigures(14, 3, 0.6, 36835328)
        assert meter.milliseconds() == pytest.approx(600 / 11)
        answers["/metrics"] = METRICS.format(calls=0, seconds=0.1)
        assert meter.look() == StageFigures(19, 6, 0.7, 36835328)
        answers["/metrics"] = METRICS.format(calls=1, seconds=0.2)
        assert meter.look() == StageFigures(20, 6, 0.8, 36835328)
        del answers["/metrics"]
        assert meter.look() is None
        meter.close()
    assert meter.look() is None


def test_the_model_of_that_name_is_asked_or_else_the_first() -> None:
    one, other = '{"platform": "pipeline"}', '{"platform": "function"}'
    answers = {"/": '{"models": ["a", "b"]}', "/v2/models/a": one, "/v2/models/b": other}
    with saying(answers) as url:
        assert find_served(url, "a").platform == "pipeline"
        assert find_served(f"{url}/graphpipe/b", "b").platform == "function"
        assert find_served(url, "c").platform == "pipeline"
        assert find_served(url, "c").models == ("a", "b")


def test_what_a_model_takes_and_gives_is_told() -> None:
    tensor = '{"name": "%s", "datatype": "%s", "shape": [-1, 3]}'
    ends = f'"inputs": [{tensor % ("x", "FP32")}], "outputs": [{tensor % ("y", "BYTES")}]'
    with saying({"/": '{"models": ["a"]}', "/v2/models/a": f"{{{ends}}}"}) as url:
        found = find_served(url, "a")
    assert found.inputs == (TensorSpec("float32", (None, 3), "x"),)
    assert found.outputs == (TensorSpec("string", (None, 3), "y"),)


def test_who_holds_an_address_is_named() -> None:
    with saying({"/": '{"models": ["a", "b"]}', "/control/is_ready": "ok"}) as url:
        assert re.fullmatch(rf"a server of a, b, process {os.getpid()} \(.+\)", find_holder(url))
    with saying({}) as url:
        assert re.fullmatch(rf"process {os.getpid()} \(.+\)", find_holder(url))
    assert find_holder(f"http://127.0.0.1:{free_ports(1)[0]}") == "somebody"


@pytest.mark.parametrize("front", ["", "[]", "<html>", '{"models": []}', '{"models": null}', "{}"])
def test_a_server_that_is_none_of_ours_tells_nothing(front: str) -> None:
    with saying({"/": front}) as url:
        assert find_served(url, "a")[1:] == ServedStage()[1:]
        assert not is_ready(url)
        assert is_listening(url)


def test_where_nobody_listens_nobody_is_ready() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert not is_listening(url)
    assert not is_ready(url)
    assert find_served(url, "a") == ServedStage()
    with saying({"/control/is_ready": "ok"}) as there:
        assert is_ready(there)

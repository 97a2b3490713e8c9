"""Questions to the model server, over real sockets, and the answers to them."""

import gzip
import json
import threading
import time
import zlib

import numpy as np
import pytest

from gpfn.deadline import NEVER
from gpfn.graphpipe import MetadataRequest
from gpfn.graphpipe.decode import decode_metadata
from gpfn.graphpipe.encode import encode_request
from gpfn.limits import Limits
from gpfn.models import PythonModel, declare
from gpfn.serving.rowstore import RowStore
from gpfn.tensors.spec import TensorSpec

from .serving import Doubler, message, response, running, unmatched

X = np.array([[1, 2], [3, 4]], np.float32)


def test_a_post_is_an_inference() -> None:
    with running(Doubler()) as run:
        np.testing.assert_array_equal(run.infer(X), X * 2)


def test_names_may_be_given_or_left_out() -> None:
    with running(Doubler()) as run:
        body = message(X, input_names=("x",), output_names=("y",))
        status, headers, reply = run.ask("POST", body=body)
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        np.testing.assert_array_equal(response(reply).tensors[0], X * 2)


def test_a_plain_function_is_a_model() -> None:
    with running(PythonModel(lambda x: x + 1)) as run:
        np.testing.assert_array_equal(run.infer(X), X + 1)


def test_names_may_carry_tensorflows_output_index() -> None:
    @declare({"x": TensorSpec("float32")}, {"y": TensorSpec("float32")})
    def double(x: np.ndarray) -> np.ndarray:
        return x * 2

    with running(PythonModel(double)) as run:
        body = message(X, input_names=("x:0",), output_names=("y:0",))
        np.testing.assert_array_equal(response(run.ask("POST", body=body)[2]).tensors[0], X * 2)


def test_names_beyond_the_tensors_are_set_aside() -> None:
    """As graphpipe-batcher sends them: each name once, and then once more."""

    def minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a - b

    ends = {name: TensorSpec("float32") for name in ("a", "b", "y")}
    told = declare({name: ends[name] for name in ("a", "b")}, {"y": ends["y"]})
    for model in (PythonModel(minus), PythonModel(told(minus))):
        with running(model) as run:
            for names in (("b", "a", "b", "a"), ("b", "a", "b"), ("b", "a")):
                status, _, reply = run.ask("POST", body=unmatched((X, 3 * X), names))
                assert status == 200, reply
                np.testing.assert_array_equal(response(reply).tensors[0], 2 * X)
            status, _, reply = run.ask("POST", body=unmatched((X, X), ("a", "a", "b", "b")))
            assert (status, b"an input is named twice" in reply) == (400, True)
            assert run.ask("POST", body=unmatched((X, X), ("a",)))[0] == 400


def test_inputs_without_names_go_by_position() -> None:
    def minus(a: np.ndarray, b: np.ndarray, *, scale: float = 2.0) -> np.ndarray:
        return (a - b) * scale

    def minus_only(a: np.ndarray, b: np.ndarray, /) -> np.ndarray:
        return (a - b) * 2

    def all_of(*arrays: np.ndarray) -> np.ndarray:
        return (arrays[0] - arrays[1]) * 2

    def first_of(a: np.ndarray, *others: np.ndarray) -> np.ndarray:
        return (a - others[0]) * 2

    for function in (minus, minus_only, all_of, first_of):
        with running(PythonModel(function)) as run:
            status, _, reply = run.ask("POST", body=message(3 * X, X))
            assert status == 200, reply
            np.testing.assert_array_equal(response(reply).tensors[0], 4 * X)
    with running(PythonModel(minus)) as run:
        status, _, reply = run.ask("POST", body=message(X, X, X))
        assert (status, b"takes a, b" in reply) == (400, True)


def test_metadata_as_message_and_as_json() -> None:
    with running(Doubler()) as run:
        _, _, body = run.ask("POST", body=b"".join(encode_request(MetadataRequest())))
        metadata = decode_metadata(body, Limits())
        assert metadata.inputs[0].name == "x"
        assert metadata.inputs[0].shape == (-1, 2)
        status, _, text = run.ask("GET")
        assert status == 200
        document = json.loads(text)
        assert (document.pop("status"), document.pop("models")) == ("alive", ["model"])
        assert list(document) == ["Name", "Version", "Server", "Description", "Inputs", "Outputs"]
        assert document["Inputs"] == [
            {"Name": "x", "Description": "", "Shape": [-1, 2], "Type": 10}
        ]


def test_the_controls_tell_the_state() -> None:
    with running() as run:
        assert run.ask("GET", "/control/is_alive")[::2] == (200, b"ok\n")
        assert run.ask("GET", "/control/is_ready")[0] == 503
        status, headers, body = run.ask("POST", body=message(X))
        assert status == 503
        assert headers["retry-after"] == "1"
        assert b"being loaded" in body
        run.server.put("model", Doubler())
        while run.ask("GET", "/control/is_ready")[0] == 503:
            time.sleep(0.01)
        assert run.ask("GET", "/control/is_ready")[::2] == (200, b"ok\n")
        end = time.monotonic() + 10  # callers that have gone are noticed a moment later
        while run.ask("GET", "/control/client_count")[2] != b"1\n":
            assert time.monotonic() < end
        assert run.ask("GET", "/control/nonsense")[0] == 404


def test_shutdown_is_off_unless_asked_for() -> None:
    with running(Doubler()) as run:
        assert run.ask("GET", "/control/shutdown")[0] == 404
        assert run.thread.is_alive()
    with running(Doubler(), allow_shutdown=True) as run:
        assert run.ask("GET", "/control/shutdown")[0] == 200
        run.thread.join(5)
        assert not run.thread.is_alive()


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_content_encoding_is_undone(coding: str, compress) -> None:
    with running(Doubler()) as run:
        _, _, body = run.ask("POST", body=compress(message(X)), content_encoding=coding)
        np.testing.assert_array_equal(response(body).tensors[0], X * 2)


@pytest.mark.parametrize(
    ("body", "coding", "status", "text"),
    [
        (b"not gzip", "gzip", 400, b"body: not gzip"),
        (gzip.compress(message(X), mtime=0)[:-12], "gzip", 400, b"truncated"),
        (message(X), "br", 415, b"content-encoding: expected gzip or deflate, got 'br'"),
        (gzip.compress(bytes(10 << 20), mtime=0), "gzip", 413, b"GPFN_MAX_BODY_BYTES"),
    ],
)
def test_a_bad_encoding_is_the_callers_fault(body, coding, status, text) -> None:
    with running(Doubler(), limits=Limits(body_bytes=1 << 20)) as run:
        answer = run.ask("POST", body=body, content_encoding=coding)
        assert answer[0] == status
        assert text in answer[2]
        np.testing.assert_array_equal(run.infer(X), X * 2)


def test_a_chunked_body_is_understood() -> None:
    with running(Doubler()) as run:
        connection = run.connect()
        body = message(X)
        connection.request(
            "POST",
            "/",
            iter([body[:7], body[7:]]),
            encode_chunked=True,
            headers={"transfer-encoding": "chunked"},
        )
        np.testing.assert_array_equal(response(connection.getresponse().read()).tensors[0], X * 2)
        connection.close()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", b"request"),
        (b"garbage that is long enough to be read", b""),
        (message(X, X), b"infer_request.input_tensors: 2 inputs sent but 1 are required: x"),
        (message(X, X, input_names=("x", "x")), b"an input is named twice"),
    ],
)
def test_a_bad_message_is_answered_400_with_the_field(body: bytes, text: bytes) -> None:
    with running(Doubler()) as run:
        status, headers, reply = run.ask("POST", body=body)
        assert status == 400
        assert headers["content-type"].startswith("text/plain")
        assert text in reply
        np.testing.assert_array_equal(run.infer(X), X * 2)


def test_a_graphpipe_client_gets_the_error_as_a_message() -> None:
    with running(Doubler()) as run:
        status, headers, body = run.ask(
            "POST", body=message(X, X), accept="application/vnd.graphpipe"
        )
        assert (status, headers["content-type"]) == (400, "application/vnd.graphpipe")
        (error,) = response(body).errors
        assert error.code == 400
        assert "2 inputs sent" in error.message


def test_our_bug_is_a_500_and_a_trace_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(_: np.ndarray) -> None:
        raise ZeroDivisionError("secret")

    with running(Doubler(broken)) as run:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        status, _, body = run.ask("POST", body=message(X), x_request_id="bug-1", **parent)
        assert status == 500
        assert b"secret" not in body
        start = f" error serve - call=bug-1 trace={trace} "
        log = capfd.readouterr().err
        assert f"{start}Traceback (most recent call last):\n" in log
        assert f"{start}ZeroDivisionError: secret\n" in log
        assert run.ask("GET", "/control/is_alive")[0] == 200


def test_other_methods_are_refused() -> None:
    with running(Doubler()) as run:
        status, headers, _ = run.ask("DELETE")
        assert (status, headers["allow"]) == (405, "GET, HEAD, POST")


def test_bool_travels_as_uint8() -> None:
    class Negate(Doubler):
        inputs = (TensorSpec("bool", (None,), "x"),)
        outputs = (TensorSpec("bool", (None,), "y"),)

        def __call__(self, inputs, *, outputs=(), deadline=NEVER):
            assert inputs["x"].dtype == bool
            return {"y": ~inputs["x"]}

    with running(Negate()) as run:
        result = run.infer(np.array([0, 1, 2], np.uint8))
        assert result.dtype == np.uint8
        assert result.tolist() == [1, 0, 0]
        document = json.loads(run.ask("GET")[2])
        assert document["Inputs"][0]["Type"] == 1
        assert "bool" in document["Inputs"][0]["Description"]


def test_rows_in_the_cache_are_not_computed_again(tmp_path) -> None:
    model, store = Doubler(), RowStore(tmp_path / "rows.db", 1 << 20)
    with running(model, store) as run:
        run.infer(X)
        mixed = np.array([[9, 9], [3, 4], [7, 7], [1, 2]], np.float32)
        np.testing.assert_array_equal(run.infer(mixed), mixed * 2)
        np.testing.assert_array_equal(run.infer(mixed), mixed * 2)
    assert model.rows == [2, 2]  # the third request computed nothing


def test_requests_run_in_parallel() -> None:
    together = threading.Barrier(2, timeout=5)
    with running(Doubler(lambda _: together.wait() and None)) as run:
        results: list[np.ndarray] = []
        threads = [threading.Thread(target=lambda: results.append(run.infer(X))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 2


class Timed(Doubler):
    """Takes so long a row, as a backend that computes here."""

    backend = "litert"
    notes_warm_up = True

    def __init__(self, seconds: float) -> None:
        self.threads: list[str] = []
        self.seconds = seconds
        super().__init__(self.compute)

    def compute(self, x: np.ndarray) -> None:
        self.threads.append(threading.current_thread().name)
        end = time.perf_counter() + self.seconds * len(x)
        while time.perf_counter() < end:
            pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("seconds", "rows", "on_loop"),
    [(1e-5, 2, True), (2e-3, 2, False), (1e-4, 4, True), (1e-4, 1000, False)],
)
def test_a_quick_call_is_made_on_the_loop_and_any_other_in_a_thread(seconds, rows, on_loop) -> None:
    model = Timed(seconds)
    with running(model) as run:
        model.threads.clear()
        run.infer(np.zeros((rows, 2), np.float32))
        here = run.thread.name
    assert [name == here for name in model.threads] == [on_loop] * len(model.threads)
    assert model.threads

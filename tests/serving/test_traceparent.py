"""A trace goes on to the servers that a model asks, with and without spans of our own."""

import threading

import numpy as np
import pytest

from gpfn.models import open_model
from gpfn.serving import Server, ServerSettings
from gpfn.traceparent import PARENT, parent_line, traceparent

from .serving import Running

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"
X = np.ones((1, 2), np.float32)
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]}'


class Behind:
    """A server behind the one that is asked; ``seen`` has the parents of its calls."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.any():
            self.seen.append(PARENT.get())
        return x * 2


@pytest.mark.parametrize("place", ["/graphpipe/behind", "/v2/models/behind"])
@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (GIVEN, GIVEN),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01-more", GIVEN),
        ("", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
    ],
)
def test_a_remote_model_is_asked_in_the_callers_name(place: str, sent: str, arrives: str) -> None:
    behind = Behind()
    with Server({"behind": behind}) as far:
        model = open_model(far.url + place)
        with Server({"near": model}, ServerSettings(port=0)) as near:
            run = Running(near, near.address[1])
            headers = {"traceparent": sent} if sent else {}
            for _ in range(2):  # the second time over a connection that was kept
                status, _, body = run.ask("POST", "/v2/models/near/infer", BODY, **headers)
                assert status == 200, body
            status, _, body = run.ask("POST", "/v2/models/near/infer", BODY)
            assert status == 200, body
        model.close()
    assert behind.seen == [arrives, arrives, ""], "and no later call has it"


def test_a_call_over_grpc_goes_on_over_grpc() -> None:
    behind = Behind()
    settings = ServerSettings(port=0, grpc="127.0.0.1:0")
    with Server({"behind": behind}, settings) as far:
        model = open_model(f"grpc://127.0.0.1:{far.grpc_port}/behind")
        with Server({"near": model}, settings) as near:
            asked = open_model(f"grpc://127.0.0.1:{near.grpc_port}/near")
            for parent in (GIVEN, ""):
                PARENT.set(parent)
                np.testing.assert_array_equal(asked({"x": X})["output"], X * 2)
            asked.close()
        model.close()
    assert behind.seen == [GIVEN, ""]


def test_a_thread_has_its_own() -> None:
    PARENT.set(GIVEN)
    try:
        assert parent_line() == b"\r\ntraceparent: " + GIVEN.encode()
        seen: list[bytes] = []
        thread = threading.Thread(target=lambda: seen.append(parent_line()))
        thread.start()
        thread.join()
        assert seen == [b""]
    finally:
        PARENT.set("")


def test_the_first_header_counts_whatever_follows() -> None:
    other = f"00-{'1' * 32}-{SPAN}-01"
    assert traceparent([("a", "b"), ("traceparent", GIVEN), ("traceparent", other)]) == GIVEN
    assert traceparent([("traceparent", "x"), ("traceparent", other)]) == ""
    assert traceparent([("ce-traceparent", other)]) == "", "an event's is not the request's"

"""A second upload of a name is seen at once, where TFaaS's server goes on with the old graph.

In all processes, and over every protocol: the reply to the upload is only sent when whoever
asks from then on is answered by the new version.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe.client import Client
from gpfn.oip.client import InferenceClient
from gpfn.oip.grpc_client import GrpcInferenceClient
from gpfn.tfaas.messages import decode_predictions, encode_row_message
from tests.e2e.tfaas.ours import Running, serving
from tests.e2e.tfaas.recordings import Call
from tests.e2e.tfaas.replay import sessions
from tests.serving.forms import FORM, upload_form
from tests.serving.repository.onnx_files import scaled

X = np.array([[1, 2, 3]], np.float32)
TIMES = 12
"""Connections of each protocol, so that every process is asked."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("again")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"  # processes that share one need a number
    with serving(folder, "--workers", "2", "--grpc", address) as running:
        yield running


def by_json(served: Running) -> float:
    body = json.dumps({"values": X[0].tolist(), "model": "m"}).encode()
    return float(json.loads(served.wire.send("POST", "/predict/json", body).body)[0])


def by_proto(served: Running) -> float:
    answer = served.wire.send("POST", "/proto", encode_row_message(X[0], model="m"))
    return decode_predictions(answer.body)[0].probability


def by_v1(served: Running) -> float:
    body = json.dumps({"instances": X.tolist()}).encode()
    answer = served.wire.send("POST", "/v1/models/m:predict", body)
    return float(json.loads(answer.body)["predictions"][0][0])


def by_v2(served: Running) -> float:
    with InferenceClient(f"http://127.0.0.1:{served.wire.port}") as client:
        return float(client.infer("m", {"x": X}).outputs["y"][0, 0])


def by_grpc(served: Running) -> float:
    with GrpcInferenceClient(f"grpc://127.0.0.1:{served.grpc}") as client:
        return float(client.infer("m", {"x": X}).outputs["y"][0, 0])


def by_graphpipe(served: Running) -> float:
    with Client(f"http://127.0.0.1:{served.wire.port}/graphpipe/m") as client:
        return float(client.infer({"x": X})[0][0, 0])


PROTOCOLS: Mapping[str, Callable[[Running], float]] = {
    "json": by_json,
    "proto": by_proto,
    "v1": by_v1,
    "v2": by_v2,
    "grpc": by_grpc,
    "graphpipe": by_graphpipe,
}


def upload(served: Running, factor: float) -> None:
    body = upload_form("m", scaled(factor))
    answer = served.wire.send("POST", "/upload", body, content_type=FORM)
    assert answer.status == 200, answer


def test_every_protocol_and_process_answers_by_the_new_model(served: Running) -> None:
    for factor in (2.0, 3.0, 4.0):
        upload(served, factor)
        for name, ask in PROTOCOLS.items():
            assert {ask(served) for _ in range(TIMES)} == {factor}, name


def test_two_clients_that_use_one_server_do_not_change_each_others_answers(
    served: Running,
) -> None:
    upload(served, 2)
    body = upload_form("another", scaled(9))
    assert served.wire.send("POST", "/upload", body, content_type=FORM).status == 200
    for ask in PROTOCOLS.values():
        assert ask(served) == 2
    assert served.wire.send("DELETE", "/delete/another").status == 200


def test_an_answer_is_always_a_whole_models(served: Running) -> None:
    """TFaaS writes a file over the other: who asks meanwhile may get half a graph."""
    upload(served, 1)
    seen: list[float] = []
    done = threading.Event()

    def ask_on() -> None:
        while not done.is_set():
            seen.append(by_json(served))

    asking = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in asking:
        thread.start()
    for factor in range(2, 7):
        upload(served, factor)
    done.set()
    for thread in asking:
        thread.join()
    assert {*seen} <= {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    assert by_json(served) == 6


def test_a_frozen_graph_as_well(served: Running, shared: Path) -> None:
    """The recording in which the real server's second upload is not seen."""
    calls = {call.case: call for call in sessions(shared)["tfaas2.jsonl"]}
    ask = calls["json: again, first content"]
    for case, told in (
        ("upload of the first content of again", [2, 4, 6, 8]),
        ("upload of the second content", [3, 6, 9, 12]),
        ("form upload, file name with .. in the model part", [2, 4, 6, 8]),
    ):
        assert status_of(served, calls[case]) == 200
        for _ in range(TIMES):
            answer = served.wire.ask(ask.exchanges[0])
            assert answer is not None
            assert json.loads(answer.body) == told, case


def test_a_deleted_model_is_gone_everywhere(served: Running) -> None:
    upload(served, 5)
    assert served.wire.send("DELETE", "/delete/m").status == 200
    for _ in range(TIMES):
        body = json.dumps({"values": [1, 2, 3], "model": "m"}).encode()
        assert served.wire.send("POST", "/json", body).status == 404
        assert served.wire.send("GET", "/v2/models/m").status == 404
        assert b'"m"' not in served.wire.send("GET", "/models").body


def status_of(served: Running, call: Call) -> int:
    answer = served.wire.ask(call.exchanges[0])
    assert answer is not None
    return answer.status

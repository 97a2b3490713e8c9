"""Requests of all protocols in one window of one `gpfn serve`: each gets its own rows."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from tests.e2e.models_served import ModelServer, Prober, Reply, put_functions, served, tensor

Rows = Sequence[Sequence[float]]
Named = dict[str, Any]
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """Models that wait a moment for other requests, and one that does not."""
    folder = tmp_path_factory.mktemp("models")
    names = ("both", "echo", "picky", "less", "lone")
    put_functions(folder, *names, max_batch=64, max_delay=0.3)
    put_functions(folder, "double")
    log = folder.parent / "batched.log"
    with served(log, "--models-dir", str(folder)) as running, Prober(running):
        yield running


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Return what calls give that begin at the same moment."""
    barrier = Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


# one function a protocol: rows to the arrays that were answered, by name


def v2_json(server: ModelServer, model: str, rows: Rows) -> Named:
    return v2_outputs(server.infer(model, rows))


def v2_outputs(reply: Reply) -> Named:
    assert reply.status == 200, reply
    outputs = json.loads(reply.body)["outputs"]
    arrays = {one["name"]: np.array(one["data"], object).reshape(one["shape"]) for one in outputs}
    return {name: array.tolist() for name, array in arrays.items()}


def v2_binary(server: ModelServer, model: str, rows: Rows) -> Named:
    array = np.asarray(rows, "<f4")
    entry = tensor(shape=array.shape, data=None, parameters={"binary_data_size": array.nbytes})
    head = json.dumps({"inputs": [entry]}).encode()
    body = head + array.tobytes()
    return v2_outputs(server.ask(f"/v2/models/{model}/infer", body, **{HEADER: str(len(head))}))


def v1_rows(server: ModelServer, model: str, rows: Rows) -> Named:
    reply = server.ask(f"/v1/models/{model}:predict", {"instances": rows})
    assert reply.status == 200, reply
    found = json.loads(reply.body)["predictions"]
    return {name: [row[name] for row in found] for name in found[0]}


def v1_columns(server: ModelServer, model: str, rows: Rows) -> Named:
    reply = server.ask(f"/v1/models/{model}:predict", {"inputs": {"x": rows}})
    assert reply.status == 200, reply
    found: Named = json.loads(reply.body)["outputs"]
    return found


def graphpipe(server: ModelServer, model: str, rows: Rows) -> Named:
    array = np.asarray(rows, np.float32)
    names = ("y", "n")
    request = InferRequest(tensors=(array,), output_names=names)
    reply = server.ask(f"/graphpipe/{model}", b"".join(encode_request(request)))
    assert reply.status == 200, reply
    arrays = decode_response(reply.body).tensors
    return {name: array.tolist() for name, array in zip(names, arrays, strict=True)}


PROTOCOLS = (v2_json, v2_binary, v1_rows, v1_columns, graphpipe)


def test_each_has_its_own_rows_whatever_it_speaks(server: ModelServer) -> None:
    """1, 2 and 3 rows by each protocol; the model's numbers of rows show that it was one call."""
    rows = {
        (ask, count): [[10 * count + row, -ask - 1] for row in range(count)]
        for ask in range(len(PROTOCOLS))
        for count in (1, 2, 3)
    }
    calls = [partial(PROTOCOLS[ask], server, "both", asked) for (ask, _), asked in rows.items()]
    found = together(*calls)
    for asked, answer in zip(rows.values(), found, strict=True):
        assert answer["y"] == [[2 * value for value in row] for row in asked]
        start = answer["n"][0]
        assert answer["n"] == [*range(start, start + len(asked))]
    together_there = {number for answer in found for number in answer["n"]}
    assert len(together_there) > 3 * 3, "rows of several protocols were in one call"


def test_each_has_the_outputs_and_the_id_that_it_asked_for(server: ModelServer) -> None:
    def ask(number: int) -> Named:
        wanted = (("y",), ("n",), ("n", "y"), ())[number % 4]
        body: Named = {
            "id": f"id{number}",
            "inputs": [tensor(data=[number, 1])],
            "parameters": {"mine": number},
        }
        if wanted:
            body["outputs"] = [
                {"name": name, "parameters": {"binary_data": False}} for name in wanted
            ]
        reply = server.ask("/v2/models/both/infer", body)
        assert reply.status == 200, reply
        assert json.loads(reply.body)["id"] == f"id{number}"
        outputs = v2_outputs(reply)
        assert {*outputs} == {*(wanted or ("y", "n"))}
        if "y" in outputs:
            assert outputs["y"] == [[2 * number, 2]]
        return outputs

    found = together(*[partial(ask, number) for number in range(16)])
    assert max(one["n"][0] for one in found if "n" in one) > 0, "they were computed together"


def test_one_that_the_model_refuses_fails_alone(server: ModelServer) -> None:
    def ask(number: int) -> Reply:
        return server.infer("picky", [[-1 if number == 3 else number, 1]] * (number + 1))

    for number, reply in enumerate(together(*[partial(ask, number) for number in range(6)])):
        if number == 3:
            assert reply.status == 500
            assert reply.error
        else:
            assert v2_outputs(reply)["y"] == [[2 * number, 2]] * (number + 1)


@pytest.mark.parametrize("model", ["less", "lone"])
def test_other_rows_than_were_asked_are_nobodys(server: ModelServer, model: str) -> None:
    """Whoever was in that call is told that the model is wrong: never the rows of another."""
    asks = [partial(server.infer, model, [[number, 1]] * number) for number in (1, 2, 3)]
    v1 = partial(server.ask, f"/v1/models/{model}:predict", {"instances": [[7, 7], [8, 8]]})
    *replies, last = together(*asks, v1)
    for reply in replies:
        assert reply.status == 502
        assert "y" in reply.error
    assert last.status == 500
    assert "y" in json.loads(last.body)["error"]


def test_strings_of_several_requests(server: ModelServer) -> None:
    def ask(number: int) -> Named:
        texts = [f"{number}-{row}\0\0" for row in range(number % 3 + 1)]
        entry = tensor("s", "BYTES", [len(texts)], texts)
        found = v2_outputs(server.ask("/v2/models/echo/infer", {"inputs": [entry]}))
        assert found["t"] == texts
        return found

    together(*[partial(ask, number) for number in range(12)])


def test_requests_of_another_form_are_computed_apart(server: ModelServer) -> None:
    """Wrong ones in the window are refused at once and cost the others nothing."""

    def ask(number: int) -> None:
        if number % 3 == 0:
            reply = server.ask("/v2/models/both/infer", {"inputs": [tensor(shape=[2, 2])]})
            assert "inputs[0].data" in reply.error
        elif number % 3 == 1:
            none = server.ask("/v2/models/both/infer", {"inputs": [tensor(shape=[0, 2], data=[])]})
            assert v2_outputs(none)["y"] == []
        else:
            assert v2_json(server, "both", [[number, number]])["y"] == [[2 * number, 2 * number]]

    together(*[partial(ask, number) for number in range(18)])


def test_a_request_of_more_rows_than_a_call_may_have(server: ModelServer) -> None:
    rows = [[number, -number] for number in range(500)]
    found = v2_json(server, "both", rows)
    assert found["y"] == [[2 * a, 2 * b] for a, b in rows]
    assert max(found["n"]) < 64


def test_what_was_counted_is_what_was_asked(server: ModelServer) -> None:
    def counted() -> tuple[int, int, int]:
        (one,) = json.loads(server.ask("/v2/models/both/stats").body)["model_stats"]
        stats = one["inference_stats"]
        return one["inference_count"], stats["success"]["count"], stats["fail"]["count"]

    before = counted()
    calls = [partial(v2_json, server, "both", [[1, 2]] * count) for count in (1, 2, 3)]
    together(*calls)
    assert [b - a for a, b in zip(before, counted(), strict=True)] == [6, 3, 0]

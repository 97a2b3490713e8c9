"""A remote model against our own server and against servers that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendTimeout,
    BrokenReply,
    CannotConnect,
    DeadlineExceeded,
    InvalidTensor,
    ModelFailed,
    RefusedByModel,
)
from gpfn.function import Function
from gpfn.graphpipe import InferResponse, encode_response
from gpfn.graphpipe.encode import encode_metadata
from gpfn.graphpipe.messages import IOMetadata, MetadataResponse
from gpfn.message import Message
from gpfn.models import Model, open_model, remote, warm_up
from gpfn.serving import Server, ServerSettings
from gpfn.tensors.spec import TensorSpec
from tests.models.test_backends import INPUTS


class Served(NamedTuple):
    """A running server: the client to ask it, and what may be given another model."""

    url: str
    model: Model
    server: Server

    def change(self, model: Model) -> None:
        """Serve another model, and return when it has taken over."""
        library = self.server.service.library
        before = library.changes
        self.server.put("model", model)
        while library.changes < before + 2:  # the new one has come, the old one gone
            time.sleep(0.01)


@contextmanager
def serving(model: Model, **options: Any) -> Iterator[Served]:
    with (
        closing(model),
        Server({"model": model}, ServerSettings(port=0, threads=2)) as server,
        closing(open_model(server.url, **options)) as asked,
    ):
        yield Served(server.url, asked, server)


@contextmanager
def answering(script: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve connections one after another with a script."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    script(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def once(status: str, body: bytes, length: int | None = None) -> Callable[[socket.socket], None]:
    """Answer every request alike; requests here are small and come in one piece."""

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)

    return script


@pytest.mark.parametrize("name", ["order.tflite", "order", "order.onnx"])
def test_a_served_model_is_as_if_it_were_here(made: Path, name: str) -> None:
    here = open_model(made / name)
    with serving(open_model(made / name)) as (url, there, _):
        assert (there.backend, there.name) == ("graphpipe", url)
        assert set(there.inputs) == set(here.inputs)
        assert set(there.outputs) == set(here.outputs)
        for outputs in ((), ("total",), ("doubled:0", "total")):
            expected, given = here(INPUTS, outputs=outputs), there(INPUTS, outputs=outputs)
            assert set(given) == set(expected)
            for key, array in expected.items():
                assert given[key].dtype == array.dtype
                assert_array_equal(given[key], array)


def test_wrong_inputs_are_refused_here_and_name_the_field(made: Path) -> None:
    with serving(open_model(made / "order.tflite")) as (_, model, _):
        with pytest.raises(InvalidTensor, match="expected shape") as caught:
            model({**INPUTS, "weights": np.zeros((2, 4), np.float32)})
        assert caught.value.field == "weights"
        with pytest.raises(InvalidTensor, match="takes") as caught:
            model({**INPUTS, "other": np.zeros(1)})
        assert caught.value.field == "other"
        with pytest.raises(RefusedByModel, match="counts"):
            model({"weights": INPUTS["weights"]})
        with pytest.raises(DeadlineExceeded):
            model(INPUTS, deadline=Deadline.after(-1))
        assert model(INPUTS)["total"].tolist() == [7.0, 5.0]


def test_one_array_needs_no_name(root: Path) -> None:
    windows = np.zeros((2, 20, 1), np.float32)
    with serving(open_model(root / "models" / "forecast.tflite")) as (_, model, _):
        for name in ("series", "series:0", "whatever"):
            assert model({name: windows})["forecast"].shape == (2, 20, 1)
        with pytest.raises(InvalidTensor, match="expected shape"):
            model({"whatever": windows[:, :19]})


def test_configured_names_are_sent(made: Path) -> None:
    names = {"inputs": ["weights", "counts"], "outputs": ["doubled"]}
    with serving(open_model(made / "order.tflite"), **names) as (_, model, _):
        assert [spec.name for spec in model.inputs] == ["weights", "counts"]
        assert [spec.name for spec in model.outputs] == ["doubled"]
        assert list(model(INPUTS)) == ["doubled"]


def test_another_model_behind_the_same_url(
    made: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = np.zeros((1, 20, 1), np.float32)
    with serving(open_model(made / "order.tflite")) as served:
        model = served.model
        assert model(INPUTS)["total"].tolist() == [7.0, 5.0]
        served.change(open_model(root / "models" / "forecast.tflite"))
        with pytest.raises(InvalidTensor):  # it asks again before it refuses
            model({"series": windows[:, :3], "x": windows})
        assert list(model({"series": windows})) == ["forecast"]
        monkeypatch.setattr(remote, "_METADATA_KEPT_SECONDS", 0.0)
        model._expires = Deadline(0.0)  # type: ignore[attr-defined]
        model({"series": windows})
        served.change(open_model(made / "slow.tflite"))
        assert list(model({"anything": np.zeros((1, 768), np.float32)})) == ["y"]


def test_nothing_is_asked_before_it_is_needed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    model = open_model(url)  # nothing listens there any more
    assert warm_up(model).seconds == 0
    for ask in (lambda: model.inputs, lambda: model({"x": np.zeros(1)})):
        with pytest.raises(CannotConnect, match=r"127\.0\.0\.1"):
            ask()


def test_a_server_that_says_nothing_of_itself() -> None:
    reply = b"".join(encode_response(InferResponse((np.array([1.5, 2.5]),))))
    with answering(once("200 OK", reply)) as url:
        model = open_model(url)
        assert (model.inputs, model.outputs) == ((), ())
        assert model({"x": np.zeros((3, 1, 4))})["output"].tolist() == [1.5, 2.5]
        assert model({"x": np.zeros(1)}, outputs=["y:0"])["y"].tolist() == [1.5, 2.5]
        with pytest.raises(BrokenReply, match="1 outputs came, 2 were asked for"):
            model({"x": np.zeros(1)}, outputs=["y", "z"])


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (once("200 OK", b"garbage" * 20), BrokenReply),
        (once("200 OK", b"", 1 << 60), BrokenReply),
        (once("200 OK", b"half", 100), BrokenReply),
        (once("400 Bad Request", b"2 inputs sent but 1 are required"), RefusedByModel),
        (lambda connection: connection.recv(65536), BrokenReply),
    ],
)
def test_servers_that_misbehave(script: Callable[[socket.socket], None], error: type) -> None:
    with answering(script) as url, pytest.raises(error, match=r"127\.0\.0\.1"):
        open_model(url)({"x": np.zeros(1)}, deadline=Deadline.after(5))


@pytest.mark.parametrize("path", ["", "/v2/models/m"], ids=["graphpipe", "oip"])
def test_a_connection_is_not_kept_after_rubbish(path: str) -> None:
    """It may be closed unannounced, when the next request is on its way already."""

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nrubbish")
        connection.recv(65536)  # a request here is lost

    with answering(script) as url, closing(open_model(url + path)) as model:
        for _ in range(3):
            with pytest.raises(BrokenReply) as caught:
                model({"x": np.zeros(1, np.float32)})
            assert "closed" not in str(caught.value)


def test_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model = open_model(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(BackendTimeout):
            model({"x": np.zeros(1)}, deadline=Deadline.after(0.2))


class Liar:
    """Promises (n, 2) and gives something else."""

    name, backend = "liar", "python"
    inputs = (TensorSpec("float32", (None, 2), "x"),)
    outputs = (TensorSpec("float32", (None, 2), "y"),)

    def __call__(self, inputs: dict[str, np.ndarray], **_: object) -> dict[str, np.ndarray]:
        return {"y": np.zeros((3, 3), np.float32)}

    def close(self) -> None:
        pass


def test_another_shape_than_promised() -> None:
    with serving(Liar()) as (_, model, _):
        with pytest.raises(BrokenReply, match="differs from its metadata: y: exp"):
            model({"x": np.zeros((1, 2), np.float32)})
        # it takes what its metadata rule out: then they say nothing of its outputs either
        assert model({"x": np.zeros((1, 2, 3), np.float32)})["y"].shape == (3, 3)


class GoServe:
    """As graphpipe-go's Serve: each end is told as the tensor of its shape, names are its own.

    It takes names of its own or none, and gives all outputs whatever is asked for.
    """

    name, backend = "SimpleModel", "python"

    def __init__(self, takes: int = 1, gives: int = 1) -> None:
        self.inputs = tuple(TensorSpec("int64", (3,), f"input{i}") for i in range(takes))
        self.outputs = tuple(TensorSpec("int64", (2,), f"output{i}") for i in range(gives))
        self.seen: list[np.ndarray] = []

    def __call__(self, inputs: dict[str, np.ndarray], **_: object) -> dict[str, np.ndarray]:
        for name, array in inputs.items():
            if not name.startswith("input"):
                raise InvalidTensor(f"Unexpected input for '{name}' was sent")
            if array.ndim != 3 or array.dtype != np.float32:
                raise InvalidTensor(f"{name} doesn't have shape [-1 20 1]")
        self.seen = [inputs[spec.name] for spec in self.inputs]
        given = {spec.name: self.seen[0] + index for index, spec in enumerate(self.outputs)}
        return given | {"forecast": self.seen[0] * 2}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("zeros", [True, False])
def test_a_server_that_tells_wrong_shapes_and_types_gets_what_was_given(zeros: bool) -> None:
    windows = np.zeros((1, 20, 1), np.float32) if zeros else np.full((3, 1, 2), 0.5, np.float32)
    there = GoServe()
    with serving(there) as (_, model, _):
        assert (model.inputs, model.outputs) == ((), ())
        for name in ("input0", "series", "input0:0"):
            given = model({name: windows})
            assert_array_equal(given["output0"], windows)
            assert given["output0"].dtype == np.float32
            assert there.seen[0].dtype == np.float32
        assert_array_equal(model({"x": windows}, outputs=["forecast"])["forecast"], windows * 2)
        with pytest.raises(RefusedByModel, match="doesn't have shape"):
            model({"input0": np.zeros(3, np.int64)})


def test_a_function_in_front_of_such_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(GoServe()) as (url, _, _):
        monkeypatch.setenv("GP_SERVER_URL", url)
        forecast = Function(
            model=("env:GP_SERVER_URL", "forecast.tflite"),
            inputs={"series": TensorSpec("float32", (None, None, 1))},
            output="forecast",
        )
        reply = forecast.answer(Message(b"[[[1.5],[2.5]]]", "application/json"))
        assert (reply.status, reply.message.body) == (200, b"[[[3.0],[5.0]]]")


class FixedBatch:
    """Tells the shape of one row, and takes any number of them."""

    name, backend = "fixed", "python"
    inputs = (TensorSpec("float32", (1, 2), "x"),)
    outputs = (TensorSpec("float32", (1, 2), "y"),)

    def __call__(self, inputs: dict[str, np.ndarray], **_: object) -> dict[str, np.ndarray]:
        if inputs["x"].ndim != 2:
            raise InvalidTensor("two dimensions", field="x")
        return {"y": inputs["x"] * 2}

    def close(self) -> None:
        pass


def test_a_function_that_declares_nothing_lets_the_server_judge_shapes() -> None:
    with serving(FixedBatch()) as (url, _, _):
        function = Function(model=url)
        for body, right in (("[[1,2]]", "[[2.0,4.0]]"), ("[[1,2],[3,4]]", "[[2.0,4.0],[6.0,8.0]]")):
            reply = function.answer(Message(body.encode(), "application/json"))
            assert (reply.status, reply.message.body) == (200, right.encode())
        raw = Message(np.ones(2, np.float32).tobytes(), "application/octet-stream")
        assert function.answer(raw).status == 200  # of the shape that the server tells
        given = function(np.ones((3, 2), np.float32))
        assert given.tolist() == [[2.0, 2.0]] * 3  # type: ignore[attr-defined]
        for body in (b"[[[1,2]]]", b'[["a", "b"]]'):
            reply = function.answer(Message(body, "application/json"))
            assert reply.status == 400
            assert b"invalid-tensor" in reply.message.body


def test_several_arrays_of_unknown_names_go_by_their_order() -> None:
    a, b = np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)
    there = GoServe(takes=2, gives=2)
    with serving(there) as (_, model, _):
        assert list(model({"a": a, "b": b})) == ["output0", "output1"]
        assert [float(array.item()) for array in there.seen] == [0.0, 1.0]
        model({"input1": b, "input0": a})
        assert [float(array.item()) for array in there.seen] == [0.0, 1.0]
        with pytest.raises(InvalidTensor, match="unknown input; the model server takes") as caught:
            model({"input0": a, "b": b})
        assert caught.value.field == "b"


def test_a_server_that_gives_all_outputs_is_asked_for_one() -> None:
    both = InferResponse((np.zeros(1, np.float32), np.ones(1, np.float32)))
    ends = (IOMetadata("output0", shape=(1,)), IOMetadata("y", shape=(1,)))
    told = MetadataResponse(inputs=(IOMetadata("input"), IOMetadata("other")), outputs=ends)

    def script(connection: socket.socket) -> None:
        while asked := connection.recv(65536):
            reply = encode_response(both) if b"input" in asked else encode_metadata(told)
            body = b"".join(reply)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    with answering(script) as url, closing(open_model(url)) as model:
        assert model({"input": np.zeros(1)}, outputs=["y"])["y"].tolist() == [1.0]
        with pytest.raises(BrokenReply, match="2 outputs came, 1 were asked for"):
            model({"input": np.zeros(1)}, outputs=["z"])


def test_a_hint_gives_a_number_its_width_and_nothing_else() -> None:
    seen: list[np.ndarray] = []

    class Told:
        name, backend = "told", "python"
        inputs = (TensorSpec("float32", (None,), "x"), TensorSpec("int32", (2,), "n"))
        outputs = (TensorSpec("float32", None, "y"),)

        def __call__(self, inputs: dict[str, np.ndarray], **_: object) -> dict[str, np.ndarray]:
            seen[:] = inputs["x"], inputs["n"]
            return {"y": np.zeros(1, np.float32)}

        def close(self) -> None:
            pass

    with serving(Told()) as (_, model, _):
        for x, n, dtypes in (
            (np.zeros(2), np.zeros(2, np.int64), ["float32", "int32"]),
            (np.zeros(2, np.int64), np.zeros(3, np.int64), ["float32", "int64"]),
            (np.array([0.1]), np.zeros(2), ["float64", "float64"]),
            (np.zeros((2, 2)), np.array([0, 1 << 40]), ["float64", "int64"]),
        ):
            model({"x": x, "n": n})
            assert [array.dtype.name for array in seen] == dtypes
            assert_array_equal(seen[0], x)
            assert_array_equal(seen[1], n)


class Twins:
    """Names that differ by ``:0`` alone, and an input called as an output."""

    name, backend = "twins", "python"
    inputs = (TensorSpec("float32", (1,), "x:0"), TensorSpec("float32", (1,), "x"))
    outputs = (TensorSpec("float32", (1,), "y:0"), TensorSpec("float32", (1,), "y"))
    outputs += (TensorSpec("float32", (1,), "z:0"),)

    def __call__(self, inputs: dict[str, np.ndarray], **_: object) -> dict[str, np.ndarray]:
        return {"y:0": inputs["x:0"], "y": inputs["x"], "z:0": inputs["x"] * 10}

    def close(self) -> None:
        pass


def test_names_that_differ_by_their_ending_alone_are_two() -> None:
    with serving(Twins()) as (_, model, _):
        given = model({"x": np.array([1], np.float32), "x:0": np.array([2], np.float32)})
        assert {name: array.tolist() for name, array in given.items()} == {
            "y:0": [2.0], "y": [1.0], "z": [10.0]
        }  # fmt: skip
        assert [spec.name for spec in model.inputs] == ["x:0", "x"]
        asked = {"x": np.array([1], np.float32), "x:0": np.array([2], np.float32)}
        given = model(asked, outputs=["y", "z:0", "y:0"])
        assert [(name, array.item()) for name, array in given.items()] == [
            ("y", 1.0), ("z", 10.0), ("y:0", 2.0)
        ]  # fmt: skip


def test_credentials_are_never_shown() -> None:
    model = open_model("http://user:secret@127.0.0.1:1/model")
    assert model.name == "http://127.0.0.1:1/model"
    with pytest.raises(CannotConnect) as caught:
        model({"x": np.zeros(1)})
    assert "secret" not in str(caught.value)


def test_closed(made: Path) -> None:
    with serving(open_model(made / "order.tflite")) as (_, model, _):
        model(INPUTS)
        model.close()
        model.close()
        with pytest.raises(ModelFailed, match="is closed"):
            model(INPUTS)

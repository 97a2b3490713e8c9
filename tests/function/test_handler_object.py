"""Handler objects: an object with predict, and what else it may have."""

from typing import Any

import numpy as np
import pytest

from gpfn import Call, Event, Function, Model, Payload, TensorSpec
from gpfn.errors import SetupError
from gpfn.message import Message


class Counting:
    """Keeps what it was opened with, and says of each step that it ran."""

    models = ("gpfn_test_double:double",)

    def __init__(self) -> None:
        self.opened: list[object] = []

    def open(self, model: "Model | None") -> None:
        self.opened.append(model)

    def prepare(self, payload: Payload) -> "np.ndarray[Any, Any]":
        return np.asarray(payload.json(), np.float32)

    def predict(self, array: "np.ndarray[Any, Any]", model: "Model") -> "np.ndarray[Any, Any]":
        return model({"x": array})["output"]

    def finish(self, array: "np.ndarray[Any, Any]", call: Call) -> dict[str, object]:
        return {"sum": float(array.sum()), "call": call.id}


@pytest.fixture(autouse=True)
def model(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that has a model."""
    (tmp_path / "gpfn_test_double.py").write_text(
        "import numpy as np\ndef double(x: np.ndarray) -> np.ndarray:\n    return x * 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_all_of_its_steps_run() -> None:
    handler = Counting()
    function = Function(handler)
    assert function.takes == "payload"
    assert function.models == ("gpfn_test_double:double",)
    reply = function.answer(Message(b"[1, 2]", "application/json"), Call("c1"))
    assert reply.message.body == b'{"sum":6.0,"call":"c1"}'
    assert [name for name, _ in reply.stages] == [
        "open",
        "decode",
        "before",
        "predict",
        "after",
        "encode",
    ]
    assert handler.opened == [function.model]
    function.answer(Message(b"[1]", "application/json"))
    assert len(handler.opened) == 1


def test_only_predict_is_needed() -> None:
    class Length:
        def predict(self, payload: Payload) -> int:
            return len(payload.data)

    assert Function(Length()).answer(Message(b"abc")).message.body == b"3"


def test_it_may_take_arrays_or_events() -> None:
    class Doubles:
        takes = "arrays"

        def predict(self, x: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            return x * 2

    class Types:
        takes = "event"

        def predict(self, event: Event) -> str:
            return event.type

    doubles = Function(Doubles(), inputs={"x": TensorSpec("float32")})
    assert doubles([1, 2]).tolist() == [2.0, 4.0]  # type: ignore[attr-defined]
    assert Function(Types())(Event(type="t", source="/s", id="1")).data == b"t"  # type: ignore[attr-defined]


def test_a_declared_model_goes_before_its_own() -> None:
    function = Function(Counting(), model="other:model")
    assert function.models == ("other:model", "gpfn_test_double:double")
    assert function.candidates == ("other:model",)


def test_its_methods_may_be_async() -> None:
    class Later:
        async def prepare(self, payload: Payload) -> bytes:
            return payload.data

        async def predict(self, data: bytes) -> int:
            return len(data)

    function = Function(Later())
    assert function.is_async
    assert function.answer(Message(b"abcd")).message.body == b"4"


@pytest.mark.parametrize("name", ["before", "after", "on_open"])
def test_a_step_is_not_given_twice(name: str) -> None:
    with pytest.raises(SetupError, match="a handler object has a method for this") as caught:
        Function(Counting(), **{name: lambda value: value})  # type: ignore[arg-type]
    assert caught.value.field == name


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(SetupError, match="a int has no predict and cannot be called"):
        Function(7)
    broken: Any = type("Broken", (), {"predict": 7})()
    with pytest.raises(SetupError, match="predict of the handler object cannot be called"):
        Function(broken)
    wrong: Any = type("Wrong", (), {"predict": lambda self, x: x, "models": {"a": 1}})()
    with pytest.raises(SetupError, match="models of the handler object has to be a list"):
        Function(wrong)


def test_what_open_raises_keeps_it_from_opening() -> None:
    class Fails(Counting):
        def open(self, model: "Model | None") -> None:
            raise ValueError("no labels")

    function = Function(Fails())
    reply = function.answer(Message(b"[1]", "application/json"))
    assert reply.status == 500
    assert not function.is_open

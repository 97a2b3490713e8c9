"""Declaring a function, opening it, and calling it plainly."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import gpfn
from gpfn.call.contract import Opened
from gpfn.call.payload import Payload
from gpfn.errors import GpfnError, InvalidTensor, ModelUnreadable, SetupError
from gpfn.events import Event
from gpfn.function.function import Function
from gpfn.message import Message
from gpfn.platforms.load import load_function
from gpfn.tensors import TensorSpec

X = {"x": TensorSpec("float32", (None, 2))}


def named(payload: Payload) -> object:
    return payload.json()


def test_the_front_door() -> None:
    assert gpfn.Function is Function
    assert gpfn.Payload is Payload


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "handler: give a handler, a model, or both"),
        ({"handler": named}, "inputs: declare the arrays that the handler takes"),
        ({"handler": lambda a, b: a, "inputs": X}, "inputs: <lambda> takes"),
        ({"model": "m.tflite", "takes": "payload"}, "before: takes='payload' needs before="),
        ({"handler": named, "takes": "bytes"}, "takes: expected one of arrays, rows, event"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(SetupError, match=says.replace("(", r"\(")):
        Function(**arguments)  # type: ignore[arg-type]


def test_names() -> None:
    assert Function(named, takes="payload").name == "named"
    assert Function(lambda p: p, takes="payload").name == "test_function"
    assert Function(named, takes="payload", name="mine").name == "mine"
    assert repr(Function(named, takes="payload")) == "<Function named>"
    assert Function(named, takes="payload").folder == str(Path(__file__).parent)


@pytest.mark.parametrize(("environment", "name"), [("forecast", "forecast"), ("", "function")])
def test_a_func_py_has_the_name_in_the_environment_or_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, name: str
) -> None:
    """In an image every folder is /function; there GPFN_NAME says what func.yaml says."""
    monkeypatch.setenv("GPFN_NAME", environment)
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "func.py").write_text(
        'from gpfn import Function\nhandler = Function(model="x.tflite").fn\n'
    )
    assert load_function(str(folder / "func.py")).name == name


def test_specs_are_named_and_keep_what_they_say() -> None:
    function = Function(lambda x: x, inputs={"x": TensorSpec("float32", finite=True)})
    assert function.specs == (TensorSpec("float32", name="x", finite=True),)


def test_arrays() -> None:
    function = Function(lambda x: x * 2, inputs=X)
    expected = np.array([[2, 4]], np.float32)
    for result in (
        function([[1, 2]]),
        function(np.array([[1, 2]], np.float32)),
        function(np.array([[1, 2]])),
        function(x=[[1, 2]]),
        function({"x": [[1, 2]]}),
    ):
        np.testing.assert_array_equal(result, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [(), (1, 2), ({"y": [[1, 2]]},), ([[1]],), ([["a", "b"]],)])
def test_wrong_arrays_raise(arguments: tuple[object, ...]) -> None:
    with pytest.raises(InvalidTensor):
        Function(lambda x: x * 2, inputs=X)(*arguments)


def test_an_event_gives_an_event() -> None:
    function = Function(lambda x: x * 2, inputs=X)
    answer = function(Event(type="t", source="/", data=[[1, 2]]))
    assert isinstance(answer, Event)
    assert answer.json() == [[2, 4]]
    with pytest.raises(InvalidTensor, match=r"data\[0\]"):
        function(Event(type="t", source="/", data=[[1]]))


def test_payloads_of_every_kind() -> None:
    function = Function(lambda payload: (payload.media_type, payload.data), takes="payload")
    assert function(b"x") == ("application/octet-stream", b"x")
    assert function("x") == ("text/plain; charset=utf-8", b"x")
    assert function({"a": 1}) == ("application/json", b'{"a":1}')
    assert function(a=1) == ("application/json", b'{"a":1}')
    assert function(Payload(b"x", "a/b")) == ("a/b", b"x")


def test_events_and_messages() -> None:
    event = Event(type="t", source="/")
    answer = Function(lambda event: event.type, takes="event")(event)
    assert isinstance(answer, Event)
    assert answer.data == b"t"
    assert Function(lambda message: message.body, takes="message")(Message(b"x")) == b"x"
    assert Function(lambda message: message.body, takes="message")(b"x") == b"x"


def test_errors_are_raised_as_they_are() -> None:
    def buggy(payload: Payload) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Function(buggy, takes="payload")(b"")


def test_an_async_function_called_plainly() -> None:
    async def later(x: object) -> object:
        return x

    np.testing.assert_array_equal(Function(later, inputs=X)([[1, 2]]), [[1, 2]])  # type: ignore[arg-type]


def test_open_without_a_model() -> None:
    function = Function(named, takes="payload")
    assert not function.is_open
    assert isinstance(function.open(), Opened)
    assert function.is_open
    assert function.open() is function.open()


def test_an_absent_model_is_an_error_document_until_it_is_there() -> None:
    function = Function(model="absent.tflite", inputs=X)
    with pytest.raises(ModelUnreadable, match=r"absent\.tflite is neither in"):
        function.open()
    reply = function.answer(Message(b"[[1,2]]"))
    assert reply.status == 500
    assert b'"type":"model-unreadable"' in bytes(reply.message.body)
    with pytest.raises(GpfnError):
        function([[1, 2]])


def test_what_a_function_of_bytes_loads() -> None:
    """A cold start without a model pays for neither numpy nor JSON nor dataclasses."""
    code = """if True:
        import sys
        from gpfn import Function
        from gpfn.message import Message
        f = Function(lambda payload: payload.data, takes="payload")
        f.open()
        assert f.answer(Message(b"hello", "text/plain")).message.body == b"hello"
        print(*sys.modules)
    """
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {"dataclasses", "argparse", "logging", "json", "orjson", "numpy", "inspect"}
    heavy |= {"pathlib", "uuid", "urllib", "http", "asyncio", "threading", "importlib.util"}
    assert not heavy & set(loaded)


def test_many_threads_open_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    function = Function(named, takes="payload")
    opened: list[int] = []
    real = Function._open

    def counted(self: Function) -> Opened:
        opened.append(1)
        threading.Event().wait(0.02)
        return real(self)

    monkeypatch.setattr(Function, "_open", counted)
    threads = [threading.Thread(target=function.open) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [1]

"""Opening a model once, and feeding it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpfn.call.opening import Opening
from gpfn.errors import GpfnError, SetupError
from gpfn.function.function import Function
from gpfn.function.opening import feed, match_inputs
from gpfn.log import Log
from gpfn.message import Message
from gpfn.models import Model, default_cache, open_model
from gpfn.platforms.load import open_function
from gpfn.tensors import TensorSpec

SOURCE = """
from gpfn.models import declare
from gpfn.tensors import TensorSpec

calls = []

@declare(
    inputs={"x": TensorSpec("float32", (None, 2)), "y": TensorSpec("float32", (None, 2))},
    outputs={"total": TensorSpec("float32", (None, 2)), "half": TensorSpec("float32", (None, 2))},
)
def apply(x, y):
    calls.append(x.shape)
    return {"total": x + y, "half": x / 2}
"""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    file = tmp_path / "two_inputs.py"
    file.write_text(SOURCE)
    return f"{file}:apply"


@pytest.fixture
def two(uri: str) -> Model:
    return open_model(uri)


def test_a_model_is_opened_once_and_warmed_up(root: Path) -> None:
    path = str(root / "models" / "forecast.tflite")
    default_cache().drop(path)
    first, second = Function(model=path), Function(model=path)
    opened = first.open()
    assert opened.uri == path
    assert opened.load_seconds > 0
    assert opened.warmup_seconds > 0
    before = default_cache().counters()
    assert second.open().load_seconds == 0
    assert second.model is first.model
    assert default_cache().counters().hits == before.hits + 1
    assert [spec.name for spec in first.specs] == ["series"]


def test_a_function_warms_up_what_it_needs_itself(uri: str) -> None:
    """Once, with the opened model; its time is told as warm-up, its failure as one to open."""
    seen: list[object] = []

    def on_open(model: object) -> None:
        seen.append(model)
        if len(seen) == 1:
            raise SetupError("no labels")

    function = Function(lambda payload: 1, model=uri, takes="payload", on_open=on_open)
    with pytest.raises(SetupError, match="no labels"):
        function.open()
    assert not function.is_open
    function.open()
    function.open()
    assert seen == [function.model, function.model]
    lonely = Function(lambda payload: 1, takes="payload", on_open=seen.append)
    assert lonely.open().warmup_seconds > 0
    assert seen[2:] == [None]


def test_inputs_feed_the_model_by_name_or_by_order(two: Model) -> None:
    assert match_inputs(["y", "x"], two) == {"x": "x", "y": "y"}
    assert match_inputs(["a", "b"], two) == {"a": "x", "b": "y"}
    assert match_inputs([], two) == {"x": "x", "y": "y"}
    with pytest.raises(SetupError, match=r"inputs: the function declares a, but .* takes x, y"):
        match_inputs(["a"], two)
    for declared in (["x", "z"], ["y", "a"]):  # by order, y would be fed to x
        with pytest.raises(SetupError, match="the function declares") as caught:
            match_inputs(declared, two)
        assert caught.value.field == "inputs"


def status_and_error(function: Function, body: bytes) -> tuple[int, str, str]:
    reply = function.answer(Message(body, "application/json"))
    error = json.loads(reply.message.body)["error"]
    return reply.status, error["type"], error.get("field", "")


BOTH = b'{"x": [[1, 2]], "y": [[3, 4]]}'


def test_an_output_that_the_model_does_not_give_is_refused_when_it_is_opened(
    uri: str, root: Path
) -> None:
    models = root / "models"
    for model in (
        uri,
        "forecast.tflite",
        "forecast.onnx",
        "forecast_savedmodel",
        "rnn_ts_model.pb",
    ):
        named = model if model == uri else str(models / model)
        function = Function(model=named, output="wrong")
        with pytest.raises(SetupError, match="not wrong") as caught:
            function.open()
        assert caught.value.field == "output"
        assert status_and_error(function, BOTH) == (500, "setup-error", "output")
        with pytest.raises(SetupError):
            Function(model=named, output="wrong", after=lambda wrong: wrong).open()
    Function(lambda x, y: x, model=uri, output="any").open()  # its own, not the model's
    Function(model=uri, output="half:0").open()


def test_any_tensor_of_a_graph_may_be_the_output(root: Path) -> None:
    path = str(root / "models" / "rnn_ts_model.pb")
    model = open_model(path)
    assert model.gives("series")  # type: ignore[attr-defined]
    Function(model=path, output="series").open()


def test_an_output_of_a_plain_function_is_known_when_it_has_answered() -> None:
    inputs = {"x": TensorSpec("float32", (None,))}
    function = Function(model="numpy:tanh", inputs=inputs, output="wrong")
    assert status_and_error(function, b"[0.0]") == (500, "setup-error", "output")
    assert Function(model="numpy:tanh", inputs=inputs, output="output")([0.0]).tolist() == [0.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("float32", (None, 3)),
        TensorSpec("float32", (None,)),
        TensorSpec("string", (None, 2)),
        TensorSpec("bool", (None, 2)),
    ],
)
def test_inputs_that_the_model_can_never_take_are_refused_when_it_is_opened(
    uri: str, spec: TensorSpec
) -> None:
    inputs = {"x": TensorSpec("float64", (None, None)), "y": spec}
    function = Function(model=uri, inputs=inputs)
    with pytest.raises(SetupError, match="but the model takes") as caught:
        function.open()
    assert caught.value.field == "inputs.y"
    assert status_and_error(function, BOTH) == (500, "setup-error", "inputs.y")
    # what stands between may make of it what the model takes
    Function(model=uri, inputs=inputs, before=lambda x, y: {"x": x, "y": x}).open()


def test_a_plain_function_takes_unnamed_arrays_by_position() -> None:
    function = Function(
        model="numpy:subtract",
        inputs={"x": TensorSpec("float32", (None,))},
        before=lambda x: (x * 3, x),
        output="output",
    )
    reply = function.answer(Message(b"[1.0, 2.0]", "application/json"))
    assert (reply.status, reply.message.body) == (200, b"[2.0,4.0]")


def test_declared_inputs_feed_a_plain_function_by_name_or_by_order() -> None:
    body = b'{"a": [3.0], "b": [1.0], "x1": [5.0], "x2": [1.0]}'
    for names, right in ((("a", "b"), 2.0), (("x2", "x1"), 4.0)):
        inputs = {name: TensorSpec("float32", (None,)) for name in names}
        function = Function(model="numpy:subtract", inputs=inputs)
        sent = json.dumps({name: json.loads(body)[name] for name in names}).encode()
        reply = function.answer(Message(sent, "application/json"))
        assert json.loads(reply.message.body) == {"output": [right]}


def test_a_failed_warm_up_is_told(tmp_path: Path) -> None:
    file = tmp_path / "picky.py"
    file.write_text(SOURCE.replace("    calls.append(x.shape)", "    assert x.any(), 'no zeros'"))
    function = Function(model=f"{file}:apply")
    assert function.open().warmup_failure == "AssertionError: no zeros"
    assert status_of_answer(function) == 200
    default_cache().drop(f"{file}:apply")
    lines: list[bytes] = []
    log = Log("fn", "picky", sink=lambda data, _: lines.append(data))
    open_function(Function(model=f"{file}:apply"), log, {})
    assert b" warning fn picky not warmed up: AssertionError: no zeros\n" in lines[0]
    default_cache().drop(f"{file}:apply")
    lines.clear()
    Opening(Function(model=f"{file}:apply").open, log).run()
    assert b" warning fn picky not warmed up: AssertionError: no zeros\n" in lines[0]
    assert b" ready: " in lines[1]


def status_of_answer(function: Function) -> int:
    return function.answer(Message(BOTH, "application/json")).status


def test_what_before_returned_is_fed() -> None:
    inputs = {"a": "x", "b": "y"}
    assert feed({"a": 1, "b": 2}, inputs) == {"x": 1, "y": 2}
    assert feed({"x": 1, "y": 2}, inputs) == {"x": 1, "y": 2}
    assert feed((1, 2), inputs) == {"x": 1, "y": 2}
    assert feed(1, {"a": "x"}) == {"x": 1}
    with pytest.raises(GpfnError, match="the model takes x, y, not x"):
        feed(1, inputs)


def test_a_model_of_several_inputs_and_outputs(uri: str) -> None:
    function = Function(model=uri)
    reply = function.answer(Message(b'{"x": [[1, 2]], "y": [[3, 4]]}'))
    assert reply.message.body == b'{"total":[[4.0,6.0]],"half":[[0.5,1.0]]}'
    wrong = Function(model=uri, inputs={"a": TensorSpec("float32")})
    with pytest.raises(SetupError, match="the function declares a"):
        wrong.open()
    one = Function(model=uri, output="half")
    np.testing.assert_array_equal(one([[1, 2]], [[3, 4]]), [[0.5, 1.0]])  # type: ignore[arg-type]


def test_a_handler_may_use_the_model(uri: str) -> None:
    def twice(x: object, model: Model) -> object:
        return model({"x": x, "y": x})["total"]  # type: ignore[dict-item]

    function = Function(twice, model=uri, inputs={"x": TensorSpec("float32", (None, 2))})
    assert function.answer(Message(b"[[1, 2]]")).message.body == b"[[2.0,4.0]]"
    function = Function(
        lambda payload, model: twice(np.array([[1, 2]], np.float32), model),
        model=uri,
        takes="payload",
    )
    assert function.answer(Message(b"")).message.body == b"[[2.0,4.0]]"


@pytest.mark.parametrize("takes", ["arrays", "event"])
def test_the_first_call_loads_nothing_that_opening_could_have(takes: str) -> None:
    code = f"""if True:
        import sys
        from gpfn import Function, TensorSpec
        from gpfn.message import Message
        if {takes!r} == "arrays":
            function = Function(lambda x: x, inputs={{"x": TensorSpec("float32")}})
        else:
            function = Function(lambda event: event.json(), takes="event")
        assert function.open().warmup_seconds > 0
        before = set(sys.modules)
        event = b'{{"specversion":"1.0","id":"1","type":"t","source":"/","data":[1,2]}}'
        assert function.answer(Message(event)).error is None
        print(*sorted(set(sys.modules) - before))
    """
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []

"""Opening a model once, and feeding it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import GpfnError, SetupError
from gpfn.function.function import Function
from gpfn.function.opening import feed, match_inputs
from gpfn.message import Message
from gpfn.models import Model, default_cache, open_model
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

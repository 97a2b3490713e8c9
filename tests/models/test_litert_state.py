"""Graphs with variables: the same input has the same answer, whatever was asked before."""

import threading
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.testing import assert_allclose

from gpfn.errors import SetupError
from gpfn.models import open_model
from gpfn.models.litert import LiteRTModel
from gpfn.models.tflite_program import state_of

ONES = np.ones((1, 4), np.float32)
STEPS, UNITS = 5, 3


def tensor(shape: list[int], buffer: int, *, variable: bool = False) -> schema.TensorT:
    made = schema.TensorT()
    made.shape, made.type, made.buffer = shape, schema.TensorType.FLOAT32, buffer
    made.name, made.isVariable = f"t{buffer}".encode(), variable
    return made


def recurrent() -> schema.SubGraphT:
    """Return a fused recurrent layer, whose state is a tensor that is a variable."""
    graph = schema.SubGraphT()
    shapes = [[1, STEPS, 2], [UNITS, 2], [UNITS, UNITS], [UNITS], [1, UNITS], [1, STEPS, UNITS]]
    graph.tensors = [
        tensor(shape, index if 0 < index < 4 else 0, variable=index == 4)
        for index, shape in enumerate(shapes)
    ]
    operator, options = schema.OperatorT(), schema.SequenceRNNOptionsT()
    options.timeMajor, options.fusedActivationFunction = False, 4  # TANH
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2, 3, 4], [5]
    operator.builtinOptionsType = schema.BuiltinOptions.SequenceRNNOptions
    operator.builtinOptions = options
    graph.inputs, graph.outputs, graph.operators = [0], [5], [operator]
    return graph


def signature(name: str, subgraph: int) -> schema.SignatureDefT:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = name.encode(), subgraph
    made.inputs, made.outputs = [], []
    for side, key, index in ((made.inputs, b"x", 0), (made.outputs, b"y", 5)):
        end = schema.TensorMapT()
        end.name, end.tensorIndex = key, index
        side.append(end)
    return made


def recurrent_file(path: Path) -> Path:
    """Write that layer twice, as the signatures ``first`` and ``second``."""
    model, code = schema.ModelT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = 35  # UNIDIRECTIONAL_SEQUENCE_RNN
    code.version = 1
    numbers = np.random.default_rng(8)
    weights = [(), (UNITS, 2), (UNITS, UNITS), (UNITS,)]
    model.buffers = [schema.BufferT() for _ in weights]
    for buffer, shape in zip(model.buffers[1:], weights[1:], strict=True):
        buffer.data = np.frombuffer(numbers.uniform(-1, 1, shape).astype("f4").tobytes(), np.uint8)
    model.version, model.operatorCodes = 3, [code]
    model.subgraphs = [recurrent(), recurrent()]
    model.signatureDefs = [signature("first", 0), signature("second", 1)]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


@pytest.mark.parametrize(("key", "factor"), [("count", 4), ("branch", 1)])
def test_resource_variables_are_as_the_file_has_them(
    made_rows: Path, key: str, factor: int
) -> None:
    model = LiteRTModel(str(made_rows / "counter.tflite"), signature=key)
    x = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    expected = x * x.sum(1, keepdims=True) if key == "count" else x
    for _ in range(4):
        assert model({"x": ONES})["y"].tolist() == [[factor] * 4]
        assert_allclose(model({"x": x})["y"], expected)


def test_variables_that_nothing_assigns_cost_nothing(made_rows: Path) -> None:
    model = LiteRTModel(str(made_rows / "counter.tflite"), signature="look")
    expected = ONES @ np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    assert_allclose(model({"x": ONES})["y"], expected, atol=1e-6)
    engine = model._pool._idle[-1]
    assert_allclose(model({"x": ONES})["y"], expected, atol=1e-6)
    assert model._pool._idle[-1] is engine


def test_a_seed_gives_the_same_numbers_each_time(made_rows: Path) -> None:
    model = open_model(made_rows / "noise.tflite")
    first = model({"x": ONES})["y"]
    assert len({*first[0].tolist()}) == 4
    for _ in range(3):
        assert model({"x": ONES})["y"].tolist() == first.tolist()


def test_calls_at_the_same_time_do_not_see_each_other(made_rows: Path) -> None:
    model = LiteRTModel(str(made_rows / "counter.tflite"), signature="count")
    answers: list[object] = []

    def ask() -> None:
        answers.extend(model({"x": ONES})["y"].tolist() for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[[4.0] * 4]] * 80


@pytest.mark.parametrize("key", ["first", "second"])
def test_the_state_of_recurrent_layers_begins_anew(tmp_path: Path, key: str) -> None:
    model = LiteRTModel(str(recurrent_file(tmp_path / "rnn.tflite")), signature=key)
    x = np.random.default_rng(9).random((3, STEPS, 2), np.float32)
    alone = [model({"x": row[None]})["y"][0] for row in x]
    assert len({array.tobytes() for array in alone}) == 3
    for _ in range(3):
        assert_allclose(model({"x": x})["y"], alone)
        assert_allclose(model({"x": x[:1]})["y"][0], alone[0])


def test_what_a_graph_would_keep_is_named(made_rows: Path) -> None:
    content = (made_rows / "counter.tflite").read_bytes()
    kept = [state_of(content, index) for index in range(3)]
    assert sorted(map(len, kept)) == [0, 1, 1]
    assert ["total"] in kept
    assert state_of((made_rows / "noise.tflite").read_bytes(), 0) == ["RANDOM_UNIFORM"]
    assert state_of((made_rows / "apart_norm.tflite").read_bytes(), 0) == []


@pytest.mark.parametrize("key", ["count", "branch"])
def test_a_savedmodel_that_assigns_variables_is_refused_by_their_names(
    made_rows: Path, key: str
) -> None:
    with pytest.raises(SetupError, match="keeps state, in its variables total: each call"):
        open_model(made_rows / "counter", signature=key)


def test_a_savedmodel_that_only_reads_its_variables_is_opened(made_rows: Path) -> None:
    model = open_model(made_rows / "counter", signature="look")
    expected = ONES @ np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    for _ in range(2):
        assert_allclose(model({"x": ONES})["y"], expected, atol=1e-6)

"""functions/multiply and functions/add: tables of numbers, which pipelines are tried with."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn import TensorSpec
from gpfn.message import Message
from gpfn.platforms.load import load_function

TABLE = np.array([[1.5, -2.0], [0.0, 4.0]], np.float32)
TWICE, ONE_MORE = TABLE * 2, TABLE + 1
BOTH = pytest.mark.parametrize(
    ("name", "wanted"), [("multiply", TWICE), ("add", ONE_MORE)], ids=["multiply", "add"]
)


@BOTH
def test_arrays(root: Path, name: str, wanted: np.ndarray) -> None:
    answer: Any = load_function(str(root / "functions" / name))(TABLE)
    assert answer["y"].dtype == np.float32
    np.testing.assert_array_equal(answer["y"], wanted)


@BOTH
def test_json_and_what_does_not_fit(root: Path, name: str, wanted: np.ndarray) -> None:
    function = load_function(str(root / "functions" / name))
    for value in (TABLE.tolist(), {"x": TABLE.tolist()}):
        reply = function.answer(Message(orjson.dumps(value), "application/json"))
        assert orjson.loads(reply.message.body) == {"y": wanted.tolist()}
    for bad in (b"[1, 2]", b"[[[1]]]", b'[["a"]]', b'{"z": [[1]]}'):
        assert function.answer(Message(bad, "application/json")).status == 400


@BOTH
def test_what_it_says_of_itself(root: Path, name: str, wanted: np.ndarray) -> None:
    function = load_function(str(root / "functions" / name))
    assert function.declared == (TensorSpec("float32", (None, None), "x"),)
    assert function.promised == (TensorSpec("float32", (None, None), "y"),)


@BOTH
def test_the_sample_is_an_event(root: Path, name: str, wanted: np.ndarray) -> None:
    sample = (root / "functions" / name / "sample.json").read_bytes()
    function = load_function(str(root / "functions" / name))
    reply = function.answer(Message(sample, "application/cloudevents+json"))
    answer, asked = orjson.loads(reply.message.body), orjson.loads(sample)
    assert answer["type"] == f"com.example.{name}.response"
    given = np.array(asked["data"], np.float32)
    assert answer["data"] == {"y": (given * 2 if name == "multiply" else given + 1).tolist()}

"""What V1's servers answer is read in both forms; what cannot be read is said in one line."""

import numpy as np
import pytest

from gpfn.errors import BrokenReply, InvalidTensor
from gpfn.limits import Limits
from gpfn.tensors.spec import TensorSpec
from gpfn.v1.documents import metadata_document
from gpfn.v1.predictions import encode_predictions, encode_request
from gpfn.v1.replies import read_metadata, read_predictions, read_words

X = TensorSpec("float32", (None, 2), "x")
N = TensorSpec("int64", (None,), "n")
LIMITS = Limits()


def test_metadata_come_back() -> None:
    takes, gives = read_metadata(
        metadata_document("m", "1", (X, N), (TensorSpec("string", None, "s"),))
    )
    assert takes == {"x": X, "n": N}
    assert gives == {"s": TensorSpec("string", None, "s")}
    assert read_metadata(b"{}") == ({}, {})
    assert read_metadata(b'{"metadata": {"signature_def": {"signature_def": {"a": 1}}}}') == (
        {},
        {},
    )


def test_predictions_come_back_in_both_forms() -> None:
    arrays = {"x": np.ones((2, 2), np.float32), "n": np.arange(2)}
    for form in ("instances", "inputs"):
        body = encode_predictions(arrays, form)  # type: ignore[arg-type]
        for known in ({"x": X, "n": N}, {}):
            found = read_predictions(body, known, LIMITS)
            assert {name: array.tolist() for name, array in found.items()} == {
                "x": [[1, 1], [1, 1]],
                "n": [0, 1],
            }
    assert read_predictions(b'{"predictions": [1, 2.5]}', {}, LIMITS)["output"].dtype == np.float64
    assert read_predictions(b'{"predictions": ["a"]}', {}, LIMITS)["output"].tolist() == [b"a"]
    assert read_predictions(b'{"predictions": [1]}', {"x": X}, LIMITS)["x"].dtype == np.float32


def test_a_request_is_by_rows_where_it_can_be() -> None:
    assert encode_request({"x": np.ones((1, 2), np.float32)}) == b'{"instances":[[1.0,1.0]]}'
    arrays = {"x": np.ones((1, 2), np.float32), "n": np.arange(2)}
    assert encode_request(arrays) == b'{"inputs":{"x":[[1.0,1.0]],"n":[0,1]}}'
    with pytest.raises(InvalidTensor, match="JSON cannot hold"):
        encode_request({"x": np.full((1, 1), np.nan)})


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"predictions": 1}', b'{"predictions": [{"a": 1}, {"b": 1}]}',
     b'{"predictions": [[1], [2, 3]]}', b'{"outputs": null}', b"\xff", b"[" * 5000],
)  # fmt: skip
def test_a_reply_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(BrokenReply):
        read_predictions(body, {}, LIMITS)


def test_words_of_an_error() -> None:
    assert read_words(b'{"error": "no\\n such model"}') == "no such model"
    assert read_words(b"<html>oh\n no</html>") == "<html>oh no</html>"
    assert len(read_words(b"x" * 10**6)) == 500

"""Requests that repeat an earlier one are read as `decode_infer` reads them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import GpfnError
from gpfn.limits import Limits
from gpfn.oip import repeats
from gpfn.oip.repeats import InferDecoder
from gpfn.oip.request import decode_infer

LIMITS = Limits()


def body(data: object, **changes: Any) -> bytes:
    entry = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [{**entry, **changes}]}).encode()


def same(decoder: InferDecoder, text: bytes, size: str | None = None) -> None:
    """Read a body by both ways, and compare."""
    found: list[Any] = []
    for decode in (decoder.decode, lambda text, size: decode_infer(text, size, LIMITS)):
        try:
            call = decode(text, size)
        except GpfnError as error:
            found.append((type(error), str(error)))
        else:
            arrays = {n: (a.dtype, a.shape, a.tolist()) for n, a in call.inputs.items()}
            found.append((*call[:2], arrays, *call[3:]))
    assert found[0] == found[1]


def taught(*texts: bytes) -> InferDecoder:
    decoder = InferDecoder(LIMITS)
    for text in texts or (body([1, 2, 3]),):
        for _ in range(3):
            same(decoder, text)
    return decoder


def test_only_the_numbers_of_a_repeated_request_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = taught()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("all of it is read again")

    monkeypatch.setattr(repeats, "decode_infer", fail)
    call = decoder.decode(body([4, 5.5, -6]), None)
    np.testing.assert_array_equal(call.inputs["x"], [[4, 5.5, -6]])
    assert call.inputs["x"].dtype == np.float32
    text = body([7, 8, 9])
    assert decoder.decode(text, str(len(text))).inputs["x"].tolist() == [[7, 8, 9]]


@pytest.mark.parametrize(
    "data",
    [
        [1, 2], [1, 2, 3, 4], [], [True, 2, 3], ["1", 2, 3], [None, 1, 2], [1e39, 0, 0],
        [[1, 2, 3]], [[1], [2], [3]], [[1, 2], 3], {"a": 1}, "]", ["]", 1, 2], 5, [1, 2, 1e400],
    ],
)  # fmt: skip
def test_other_data_in_the_same_place(data: object) -> None:
    same(taught(), body(data))


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":"\\"data\\":[1]","inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}',
        b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3],"data":[4,5,6]}]}',
        b'{"x":{"data":[1,2,3]},"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}',
        b'{"inputs":[{"data":[1,2,3],"name":"x","shape":[1,3],"datatype":"FP32"}]}',
        b'{"inputs":[{"data":[1,2,3],"name":"x","shape":[1,3],"datatype":"FP32"}],"inputs":[]}',
        b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}],"outputs":[{"name":"y"}]}',
        b'{"inputs":[{"name":"x","shape":[3],"datatype":"INT64","data":[1,2,3]}]}',
        b'{"inputs":[{"name":"x","shape":[3],"datatype":"BF16","data":[1,2,3]}]}',
        b'{"inputs":[{"name":"x","shape":[3],"datatype":"BYTES","data":["a","b","c"]}]}',
        b'{"inputs":[{"name":"x","shape":[3],"datatype":"BOOL","data":[true,false,true]}]}',
        b'{"inputs":[{"name":"x","shape":[0],"datatype":"FP32","data":[]}]}',
        b'"data":[1,2,3]', b'"data":', b"[]", b"",
    ],
)  # fmt: skip
def test_requests_that_are_made_otherwise(text: bytes) -> None:
    decoder = taught(text)
    for new in (b"[4,5,6]", b"[4,5]", b"[[4,5,6]]", b'["d","e","f"]'):
        same(decoder, text.replace(b"[1,2,3]", new))
        same(decoder, text.replace(b"[1,2,3]", new, 1))


def test_a_size_of_the_json_that_is_not_the_bodys_is_told() -> None:
    decoder, text = taught(), body([1, 2, 3])
    for size in ("1", str(len(text) - 1), str(len(text) + 1), "x"):
        same(decoder, text, size)


def test_many_different_requests_are_not_all_kept() -> None:
    decoder = InferDecoder(LIMITS)
    for number in range(2000):
        for _ in range(2):
            decoder.decode(body([1, 2, 3], name=f"x{number}"), None)
    assert len(decoder._known) <= 256
    assert len(decoder._met) <= 256


@given(st.lists(st.floats(width=32) | st.integers(-(1 << 70), 1 << 70) | st.booleans(), max_size=5))
def test_any_numbers(numbers: list[Any]) -> None:
    same(_TAUGHT, body(numbers))


_TAUGHT = taught()

"""What a client encodes a server reads, and the other way round, for every datatype."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.limits import Limits
from gpfn.oip.datatypes import (
    DATATYPES,
    narrow_bfloat16,
    round_bfloat16,
    widen_bfloat16,
)
from gpfn.oip.reply import decode_reply, encode_reply
from gpfn.oip.request import InferCall, OutputAsked, decode_infer, encode_infer
from tests.oip.strategies import NUMBERS, named_arrays, same

LIMITS = Limits()


def joined(parts: tuple[list[Any], int | None]) -> tuple[bytes, str | None]:
    """Return a body, and the header that says where its JSON ends."""
    pieces, size = parts
    return b"".join(pieces), None if size is None else str(size)


def _sent(given: dict[str, tuple[str, Any]], **options: Any) -> InferCall:
    arrays = {name: array for name, (_, array) in given.items()}
    datatypes = {name: datatype for name, (datatype, _) in given.items()}
    parts = encode_infer(arrays, datatypes=datatypes, **options)
    return decode_infer(*joined(parts), LIMITS)


@given(named_arrays(as_json=False), st.text(max_size=5))
def test_a_binary_request_is_read_as_it_was_sent(given: Any, identity: str) -> None:
    call = _sent(given, identity=identity, parameters={"a": 1, "timeout": 7})
    assert (call.id, call.binary, call.outputs) == (identity, True, ())
    assert call.parameters == {"a": 1, "timeout": 7, "binary_data_output": True}
    _check(given, call.inputs, call.datatypes)


@given(named_arrays(as_json=True))
def test_a_json_request_is_read_as_it_was_sent(given: Any) -> None:
    call = _sent(given, binary=False)
    assert not call.binary
    _check(given, call.inputs, call.datatypes)


def _check(given: Any, arrays: Any, datatypes: Any) -> None:
    assert list(arrays) == list(given)
    for name, (datatype, array) in given.items():
        assert datatypes[name] == datatype
        assert not arrays[name].flags.writeable
        assert arrays[name].flags.aligned
        assert same(arrays[name], array)


@given(named_arrays(as_json=True), st.data())
def test_a_reply_is_read_as_it_was_sent(given: Any, data: st.DataObject) -> None:
    arrays = {name: array for name, (_, array) in given.items()}
    asked = (
        tuple(
            OutputAsked(name, data.draw(st.booleans()))
            for name in data.draw(st.sets(st.sampled_from(sorted(arrays))))
            if arrays
        )
        if arrays
        else ()
    )
    call = InferCall(data.draw(st.text(max_size=5)), {}, {}, {}, asked, data.draw(st.booleans()))
    reply = decode_reply(*joined(encode_reply("m", "1", arrays, call)), LIMITS)
    assert (reply.model, reply.version, reply.id) == ("m", "1", call.id)
    assert list(reply.outputs) == list(arrays)
    assert all(same(reply.outputs[name], array) for name, array in arrays.items())


@given(named_arrays(as_json=False))
def test_words_for_nan_and_infinity_are_read_back(given: Any) -> None:
    arrays = {name: array for name, (kind, array) in given.items() if kind != "BYTES"}
    call = InferCall("", {}, {}, {}, (), binary=False)
    parts = encode_reply("m", "1", arrays, call, nan_words=True)
    reply = decode_reply(*joined(parts), LIMITS)
    assert all(same(reply.outputs[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.name)
def test_the_least_and_the_largest_values(kind: Any) -> None:
    numpy = kind.dtype.numpy
    if numpy.kind in "iu":
        ends = [np.iinfo(numpy).min, np.iinfo(numpy).max]
    else:
        ends = [0, 1] if numpy.kind == "b" else [np.finfo(numpy).min, np.finfo(numpy).tiny]
    array = np.array(ends, numpy)
    for binary in (True, False):
        call = _sent({"x": (kind.name, array)}, binary=binary)
        assert same(call.inputs["x"], array)


def test_every_bf16_value_is_widened_and_narrowed_exactly() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    wide = widen_bfloat16(bits)
    assert wide.dtype == np.float32
    kept = ~np.isnan(wide)
    assert np.array_equal(narrow_bfloat16(wide, path="x")[kept], bits[kept])
    assert np.isnan(widen_bfloat16(narrow_bfloat16(wide, path="x"))[~kept]).all()


def test_bf16_is_rounded_to_the_nearest_even_value() -> None:
    step = np.float32(2.0**-7)
    given = np.array([1 + step / 2, 1 + step * 1.5, 1 + step * 0.51, -1 - step / 2, 3e38, 3.4e38])
    wanted = [1, 1 + 2 * step, 1 + step, -1, np.float32(226 * 2.0**120), np.inf]
    rounded = round_bfloat16(given.astype(np.float32))
    assert np.allclose(rounded, np.array(wanted, np.float32), rtol=1e-3)
    assert rounded[:4].tolist() == wanted[:4]


def test_the_datatypes_are_those_of_the_protocol() -> None:
    whole = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    assert set(DATATYPES) == {"BOOL", *whole, "FP16", "FP32", "FP64", "BYTES", "BF16"}
    assert {kind.config for kind in DATATYPES.values()} == {
        "TYPE_STRING",
        *(f"TYPE_{name}" for name in DATATYPES if name != "BYTES"),
    }
    assert {name: kind.size for name, kind in DATATYPES.items() if kind.size not in (1, 4, 8)} == {
        "INT16": 2,
        "UINT16": 2,
        "FP16": 2,
        "BF16": 2,
        "BYTES": 0,
    }


def test_a_large_binary_tensor_is_not_copied() -> None:
    array = np.arange(1 << 20, dtype=np.float32).reshape(1, -1)
    pieces, size = encode_infer({"x": array})
    assert np.shares_memory(np.frombuffer(pieces[-1], np.uint8), array)
    body = b"".join(pieces)
    for kind in (bytes, bytearray, memoryview):
        whole = kind(body)
        call = decode_infer(whole, str(size), LIMITS)
        assert np.shares_memory(np.frombuffer(whole, np.uint8), call.inputs["x"])
        assert not call.inputs["x"].flags.writeable


def test_a_body_cannot_be_resized_under_its_arrays() -> None:
    pieces, size = encode_infer({"x": np.arange(8.0)})
    body = bytearray(b"".join(pieces))
    call = decode_infer(body, str(size), LIMITS)
    with pytest.raises(BufferError):
        body.extend(b"more")
    assert call.inputs["x"].sum() == 28

"""Protocol buffers as the real clients and the real server wrote them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import GpfnError, InvalidRequest, TooLarge
from gpfn.limits import Limits
from gpfn.tfaas.messages import (
    ClassProbability,
    PredictionsEncoder,
    RowMessageDecoder,
    decode_predictions,
    decode_row_message,
    encode_row_message,
)
from tests.tfaas.recordings import exchanges

LIMITS = Limits()
FLOATS = st.floats(width=32)


def bits(values: Any) -> bytes:
    """Return floats so that NaN equals itself."""
    return np.asarray(values, np.float32).tobytes()


def test_recorded_rows_and_answers(shared: Path) -> None:
    rows = answers = 0
    for exchange in exchanges(shared):
        if exchange.path not in ("/proto", "/predict/proto") or exchange.status == 405:
            continue
        if b"unmarshal" in exchange.reply:
            with pytest.raises(InvalidRequest):
                decode_row_message(exchange.body, LIMITS)
            continue
        row = decode_row_message(exchange.body, LIMITS)
        rows += 1
        if "not packed" not in exchange.case:
            again = encode_row_message(row.values, keys=row.keys, model=row.model)
            assert again == exchange.body
        if exchange.status == 200:
            classes = decode_predictions(exchange.reply)
            values = np.array([each.probability for each in classes], np.float32)
            assert PredictionsEncoder().encode(values) == exchange.reply
            assert classes
            answers += 1
    assert rows > 8
    assert answers > 6


def test_values_one_by_one_and_packed_say_the_same() -> None:
    row = decode_row_message(
        b"\x0a\x01a" + b"\x15" + struct.pack("<f", 1) + b"\x12\x08" + struct.pack("<2f", 2, 3)
        + b"\x15" + struct.pack("<f", 4) + b"\x15" + struct.pack("<f", 5) + b"\x1a\x01m",
        LIMITS,
    )  # fmt: skip
    assert (row.keys, row.values.tolist(), row.model) == (("a",), [[1, 2, 3, 4, 5]], "m")


def test_what_is_not_known_is_passed_over() -> None:
    others = b"\x20\x96\x01" + b"\x29" + bytes(8) + b"\x32\x02ab" + b"\x3d" + bytes(4)
    odd_forms = b"\x08\x01" + b"\x18\x01" + b"\x10\x01"  # key, model and value as numbers
    row = decode_row_message(others + b"\x12\x04\0\0\x80\x3f" + odd_forms + b"\x1a\x00", LIMITS)
    assert (row.keys, row.values.tolist(), row.model) == ((), [[1.0]], "")
    long_tag = decode_row_message(b"\x95\x00" + struct.pack("<f", 2), LIMITS)
    assert long_tag.values.tolist() == [[2.0]]
    empty = decode_row_message(b"", LIMITS)
    assert (empty.keys, empty.values.shape, empty.model) == ((), (1, 0), "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"\x0a", "message"),
        (b"\x0a\x05ab", "message"),
        (b"\x12\x03abc", "value"),
        (b"\x15\0\0", "message"),
        (b"\x0a\x01\xff", "key[0]"),
        (b"\x1a\x01\xff", "model"),
        (b"\x00\x01", "message"),
        (b"\x0b", "message"),
        (b"\x0c", "message"),
        (b"\x0e", "message"),
        (b"\xff" * 11, "message"),
        (b"\x08" + b"\xff" * 10, "message"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "message"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "message"),
        (b'{"values":[1]}', "message"),
    ],
)
def test_what_is_no_row_is_refused(body: bytes, field: str) -> None:
    for decode in (lambda data: decode_row_message(data, LIMITS), RowMessageDecoder(LIMITS).decode):
        with pytest.raises(InvalidRequest) as refused:
            decode(body)
        assert refused.value.field == field


def test_fields_and_values_are_bounded() -> None:
    many = b"\x15\0\0\0\0" * 300_000
    assert decode_row_message(many, LIMITS).values.shape == (1, 300_000)
    with pytest.raises(TooLarge):
        decode_row_message(many, Limits(elements=299_999))
    with pytest.raises(TooLarge):
        decode_row_message(b"\x20\x01" * (1 << 17) + b"\x20\x01", LIMITS)


def outcome(decode: Any, body: bytes) -> tuple[Any, ...]:
    """Return what a decoder says of a message, fit to be compared."""
    try:
        row = decode(body)
    except GpfnError as error:
        return type(error), error.field
    return row.keys, row.values.shape, bits(row.values), row.model, row.several


@given(
    st.lists(st.text(max_size=3), max_size=4),
    st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=3, max_size=5),
    st.text(max_size=4),
    st.binary(max_size=4),
)
def test_the_short_way_says_what_the_long_one_says(
    keys: list[str], rows: list[list[float]], model: str, behind: bytes
) -> None:
    short = RowMessageDecoder(LIMITS)
    for values in rows:
        body = encode_row_message(values, keys=keys, model=model)
        row = short.decode(body)
        assert (row.keys, row.model) == (tuple(keys), model)
        assert bits(row.values) == bits(values)
        assert row.values.flags.aligned
        for text in (body + behind, body[:-1], behind + body):
            wanted = outcome(lambda data: decode_row_message(data, LIMITS), text)
            assert outcome(short.decode, text) == wanted


def test_what_is_remembered_is_bounded() -> None:
    short = RowMessageDecoder(LIMITS)
    for number in range(3000):
        short.decode(encode_row_message([1.0] * (1 + number % 600), model=str(number)))
    assert len(short._known) <= 256
    assert all(len(alike) <= 8 for alike in short._known.values())
    large = encode_row_message([1.0] * 20_000)
    assert short.decode(large).values.size == 20_000


@given(st.lists(FLOATS | st.just(0.0), max_size=5), st.lists(st.text(max_size=200), max_size=6))
def test_answers_are_read_as_they_were_written(values: list[float], labels: list[str]) -> None:
    encoder = PredictionsEncoder(labels)
    for _ in range(2):
        classes = decode_predictions(encoder.encode(np.array(values, np.float32)))
        assert bits([each.probability for each in classes]) == bits(values)
        told = [each.label for each in classes]
        assert told == (labels + [""] * len(values))[: len(values)]


def test_a_probability_of_0_is_left_out() -> None:
    assert PredictionsEncoder().encode(np.array([0.0], np.float32)) == b"\x0a\x00"
    assert PredictionsEncoder(["a"]).encode(np.array([0.0])) == b"\x0a\x03\x0a\x01a"
    assert (
        PredictionsEncoder(["a"]).encode(np.array([[1.0]])) == b"\x0a\x08\x0a\x01a\x15\0\0\x80\x3f"
    )
    assert decode_predictions(b"\x0a\x03\x0a\x01a") == (ClassProbability("a", 0.0),)


def test_protobuf_itself_reads_and_writes_the_same() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    row = file.message_type.add(name="Row")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind, label) in enumerate(
        [
            ("key", kinds.TYPE_STRING, kinds.LABEL_REPEATED),
            ("value", kinds.TYPE_FLOAT, kinds.LABEL_REPEATED),
            ("model", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        ],
        1,
    ):
        row.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Row"))
    theirs = message(key=["a", "é"], value=[1.5, 0, -2], model="m").SerializeToString()
    assert encode_row_message([1.5, 0, -2], keys=["a", "é"], model="m") == theirs
    read = decode_row_message(theirs, LIMITS)
    assert (read.keys, read.values.tolist(), read.model) == (("a", "é"), [[1.5, 0, -2]], "m")

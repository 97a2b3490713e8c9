"""Rows in JSON: what the real server took and refused, and the short way beside the long one."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn import json_exact
from gpfn.errors import GpfnError, InvalidTensor, TooLarge
from gpfn.limits import Limits
from gpfn.tfaas.row import FeatureRow, RowDecoder, decode_row, encode_row
from tests.tfaas.recordings import exchanges

LIMITS = Limits()
INTENDED = {"json: nested values"}
"""What the real server refuses and we take: several rows in one call."""


def test_what_the_real_server_understood_is_read_and_nothing_else(shared: Path) -> None:
    """Its words for a row that it could not read are ``unable to unmarshal Row``."""
    read = refused = 0
    for exchange in exchanges(shared):
        if exchange.path not in ("/json", "/predict/json") or exchange.method != "POST":
            continue
        if b"unmarshal" in exchange.reply and exchange.case not in INTENDED:
            refused += 1
            with pytest.raises(InvalidTensor):
                decode_row(exchange.body, LIMITS)
        else:
            read += 1
            decode_row(exchange.body, LIMITS)
    assert read > 30
    assert refused > 7


def test_a_row() -> None:
    row = decode_row(b'{"keys":["a","b"],"values":[1,-0.5],"model":"m"}', LIMITS)
    assert (row.keys, row.model, row.several) == (("a", "b"), "m", False)
    assert row.values.dtype == np.float32
    assert row.values.tolist() == [[1.0, -0.5]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"Keys":["a"],"VALUES":[1],"mOdel":"m"}', (("a",), [[1.0]], "m", False)),
        ('{"KEYS":["a"],"value\u017f":[2]}', (("a",), [[2.0]], "", False)),  # Go folds the long s
        ('{"values":[null,2],"keys":[null]}', (("",), [[0.0, 2.0]], "", False)),
        ('{"values":null,"keys":null,"model":null}', ((), [[]], "", False)),
        ("{}", ((), [[]], "", False)),
        ('{"values":[1e-50]}', ((), [[0.0]], "", False)),
        ('{"values":[123456789012345678901234567890]}', ((), [[1.2345678806e29]], "", False)),
        ('{"values":[3.4028235e38]}', ((), [[3.4028234663852886e38]], "", False)),
        ('{"values":[1],"other":{"deep":[[]]}}', ((), [[1.0]], "", False)),
        ('{"values":[[1,2],[3,null]]}', ((), [[1.0, 2.0], [3.0, 0.0]], "", True)),
        ('{"values":[[1]]}', ((), [[1.0]], "", True)),
        ('{"values":[[],[]]}', ((), [[], []], "", True)),
    ],
)
def test_odd_rows_are_read_as_go_reads_them(body: str, expected: tuple[Any, ...]) -> None:
    for decode in (lambda text: decode_row(text, LIMITS), RowDecoder(LIMITS).decode):
        row = decode(body.encode())
        assert (row.keys, row.model, row.several) == (expected[0], *expected[2:])
        assert row.values.tolist() == np.asarray(expected[1], np.float32).tolist()
        assert row.values.dtype == np.float32
        assert row.values.ndim == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", None),
        ("x", None),
        ("[1]", None),
        ('"row"', None),
        ('{"values":"1"}', "values"),
        ('{"values":{"a":1}}', "values"),
        ('{"values":[1,"2"]}', "values[1]"),
        ('{"values":[1,true]}', "values[1]"),
        ('{"values":[1,[2]]}', "values[1]"),
        ('{"values":[[1],2]}', "values[1]"),
        ('{"values":[[1],[2,3]]}', "values[1]"),
        ('{"values":[[1],["2"]]}', "values[1][0]"),
        ('{"values":[[[1]]]}', "values[0][0]"),
        ('{"values":[1,1e39]}', "values[1]"),
        ('{"values":[1,-3.41e38]}', "values[1]"),
        ('{"values":[1,1e400]}', "values[1]"),
        ('{"values":[1,1' + "0" * 400 + "]}", "values[1]"),
        ('{"values":[NaN]}', None),
        ('{"keys":"a"}', "keys"),
        ('{"keys":["a",1]}', "keys[1]"),
        ('{"model":1}', "model"),
        ('{"values":[1],"Values":[2]}', "values"),
        ('{"a":' + "[" * 5000 + "]" * 5000 + "}", None),
    ],
)
def test_what_is_wrong_is_named(body: str, field: str | None) -> None:
    for decode in (lambda text: decode_row(text, LIMITS), RowDecoder(LIMITS).decode):
        with pytest.raises(InvalidTensor) as refused:
            decode(body.encode())
        assert refused.value.field == field


def test_rows_are_bounded() -> None:
    limits = Limits(elements=3)
    assert decode_row(b'{"values":[1,2,3],"keys":["a","b","c"]}', limits).values.size == 3
    for body in (b'{"values":[1,2,3,4]}', b'{"values":[[1,2],[3,4]]}', b'{"keys":["","","",""]}'):
        with pytest.raises(TooLarge):
            decode_row(body, limits)


def outcome(decode: Any, body: bytes) -> tuple[Any, ...]:
    """Return what a decoder says of a body, fit to be compared."""
    try:
        row: FeatureRow = decode(body)
    except GpfnError as error:
        return type(error), error.field
    return row.keys, row.values.tobytes(), row.values.shape, row.model, row.several


NUMBERS = (
    st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
)
ODD = st.none() | st.booleans() | st.text(max_size=2) | st.lists(NUMBERS, max_size=2)


@given(
    st.lists(st.text(max_size=3), max_size=4),
    st.lists(st.lists(NUMBERS | NUMBERS | ODD, min_size=1, max_size=4), min_size=3, max_size=5),
    st.sampled_from(["values", "Values", "other"]),
    st.booleans(),
)
def test_the_short_way_says_what_the_long_one_says(
    keys: list[str], rows: list[list[Any]], name: str, spaced: bool
) -> None:
    short = RowDecoder(LIMITS)
    for values in [[0.0] * len(rows[0])] * 2 + rows:
        document = {"keys": keys, "model": "m", name: values, "more": {"values": [7]}}
        body = json_exact.dumps(document, option=orjson.OPT_INDENT_2 if spaced else 0)
        for text in (body, body.replace(b'"keys"', b'"values"')):
            assert outcome(short.decode, text) == outcome(lambda b: decode_row(b, LIMITS), text)


def test_a_text_that_only_looks_alike_is_not_taken_for_the_row() -> None:
    short = RowDecoder(LIMITS)
    tricks = (
        b'{"a":"\\"values\\":[1]","values":[%d]}',
        b'{"values":[1],"values":[%d]}',
        b'{"a":{"values":[%d]},"VALUES":[5]}',
        b'{"values":[%d],"a":"]"}',
        b'{"values":[%d] ,"model":"m]"}',
    )
    for trick in tricks:
        for number in (1, 2, 3, 4):
            body = trick % number
            assert outcome(short.decode, body) == outcome(lambda b: decode_row(b, LIMITS), body)


def test_what_is_remembered_is_bounded() -> None:
    short = RowDecoder(LIMITS)
    for number in range(2000):
        for _ in range(2):
            short.decode(b'{"model":"%d","values":[1]}' % number)
    assert len(short._known) <= 256
    assert len(short._met) <= 256
    large = b'{"values":[' + b"1," * 20_000 + b"1]}"
    for _ in range(3):
        assert short.decode(large).values.size == 20_001


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5))
def test_a_client_writes_what_is_read(values: list[float]) -> None:
    keys = [str(at) for at in range(len(values))]
    row = decode_row(encode_row(values, keys=keys, model="m"), LIMITS)
    assert (row.keys, row.model) == (tuple(keys), "m")
    assert row.values.tolist() == [values]
    array = np.array([values, values], np.float32)
    assert np.array_equal(decode_row(encode_row(array), LIMITS).values, array)


def test_a_client_is_told_of_what_json_has_not() -> None:
    with pytest.raises(InvalidTensor):
        encode_row([float("nan")])

"""Whole numbers of any size through JSON text; Python's own json is the oracle."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.json_exact import (
    UnreadableNumber,
    UnwritableNumber,
    decode_base64,
    dumps,
    encoding,
    is_exact,
    loads,
    loads_loosely,
    path_of,
    settle,
)

POWERS = [sign << bits for bits in (53, 63, 64, 70, 1024) for sign in (1, -1)]
EDGES = [power + step for power in POWERS for step in (-1, 0, 1)]
NUMBERS = st.integers() | st.sampled_from(EDGES) | st.integers(-(10**350), 10**350)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def text_of(value: object) -> bytes:
    """Return JSON text, by Python's own writer."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def exactly(value: object) -> str:
    """Return a value so that 1, 1.0 and True are told apart."""
    return repr(value)


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_every_value_is_read_as_python_reads_it(value: object) -> None:
    text = text_of(value)
    assert exactly(loads(text)) == exactly(json.loads(text))
    loose = loads_loosely(memoryview(text))
    assert exactly(settle(loose, memoryview(text))) == exactly(json.loads(text))


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_every_value_is_written_and_comes_back(value: object) -> None:
    try:
        text = dumps(value)
    except TypeError as error:
        assert "surrogate" in str(error) or "UTF-8" in str(error)  # noqa: PT017
        return
    assert exactly(json.loads(text)) == exactly(json.loads(json.dumps(value)))


@settings(max_examples=300, deadline=None)
@given(NUMBERS, st.sampled_from([b"", b" ", b"[", b"[0,", b'{"a":', b'{"9":1,"a":[0.5,-1,']))
def test_no_long_number_is_overlooked(number: int, before: bytes) -> None:
    if not -(1 << 63) <= number < 1 << 64:
        assert not is_exact(before + str(number).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"0.00012345678901234567",
        b"[1764362048123456789,-1764362048123456789]",
        b'{"id":"1234567890123456789"}',
        b"9223372036854775807"[1:],
        b"[1.5,27.384019284710387]",
        b"",
    ],
)
def test_what_fits_costs_no_second_reading(text: bytes) -> None:
    assert is_exact(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"12345678901234567890123", 12345678901234567890123),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"9" * 4300, 10**4300 - 1),
        (b"-" + b"9" * 4300, 1 - 10**4300),
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"12345678901234567890.0", 12345678901234567168.0),
        (b"1e22", 1e22),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"\xef\xbb\xbf[12345678901234567890123]", [12345678901234567890123]),
    ],
)
def test_the_value_of_a_text(text: bytes, value: object) -> None:
    assert exactly(loads(text)) == exactly(value)


@pytest.mark.parametrize(
    ("text", "place", "detail"),
    [
        (b"1e400", "data", "1e400 is beyond the range of a double"),
        (b'{"a":[0,-1e999]}', "data.a[1]", "-1e999 is beyond the range of a double"),
        (b'[[],{"b c":[' + b"7" * 4301 + b"]}]", "data[1].'b c'[0]", "4301 digits; at most 4300"),
        (b"[0," + b"1" * 1_000_000 + b"]", "data[1]", "1000000 digits"),
        (b'{"' + b"n" * 100 + b'":1e400}', f"data.'{'n' * 40}'", "1e400"),
    ],
)
def test_a_number_without_a_value_is_named_by_its_place(
    text: bytes, place: str, detail: str
) -> None:
    with pytest.raises(UnreadableNumber, match=detail) as caught:
        loads(text)
    assert path_of("data", caught.value.steps) == place
    assert isinstance(caught.value, orjson.JSONDecodeError)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[", b"[NaN]", b"Infinity", b"-Infinity", b"01", b"[1e400,]", b"[1e400,NaN]"),
        b'["\xff",' + b"1" * 400 + b"]",
        b"[" + b"1" * 400 + b',"\\ud800"]',
        b"[" * 2000 + b"1" * 400 + b"]" * 2000,
        *("[1]".encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
        b"\xef\xbb\xbf" * 100_000 + b"[1]",
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=40) | st.text('[]{},:0123456789.eE+-"\\u\ufeff', max_size=40).map(str.encode)
)
def test_any_bytes_are_read_as_python_reads_them_or_refused(text: bytes) -> None:
    try:
        value = loads(text)
    except orjson.JSONDecodeError:
        return
    assert exactly(value) == exactly(json.loads(text.removeprefix(b"\xef\xbb\xbf")))


@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_another_encoding_is_told(name: str) -> None:
    text = '{"a":1}'.encode(name)
    assert encoding(text).startswith(name[:6])
    with pytest.raises(orjson.JSONDecodeError, match=f"this is {name[:6].upper()}, not UTF-8"):
        loads(text)


def test_numbers_within_numpy_and_other_values_are_written() -> None:
    def listed(value: Any) -> object:
        return value.tolist()

    class Later:
        def tolist(self) -> object:
            return [2**70]

    assert dumps({"a": Later(), "b": (2**64, -1)}, listed) == (
        b'{"a":[1180591620717411303424],"b":[18446744073709551616,-1]}'
    )


def test_a_number_too_long_to_be_written_is_named_by_its_place() -> None:
    with pytest.raises(UnwritableNumber, match="more than 4300 digits") as caught:
        dumps({"a": [0, 2**70, -(10**4300)]})
    assert path_of("result", caught.value.steps) == "result.a[2]"
    assert dumps([10**4299])[:3] == b"[10"


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_what_cannot_be_written_ends(wrap: Callable[[object], object]) -> None:
    value: Any = [2**70]
    value.append(wrap(value))
    with pytest.raises(TypeError):
        dumps(value)
    with pytest.raises(TypeError, match="not JSON serializable"):
        dumps([2**70, {1}])


@settings(deadline=None)
@given(st.binary(max_size=20))
def test_base64_in_either_alphabet_with_or_without_padding(data: bytes) -> None:
    for text in (b64encode(data).decode(), urlsafe_b64encode(data).decode()):
        assert decode_base64(text) == data
        assert decode_base64(text.rstrip("=")) == data


@pytest.mark.parametrize("text", ["A", "AA=", "AA==AA==", "A A=", "AA\n", "é", "?", "====", "A==="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_base64(text)

"""Bodies of /init and replies."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import InvalidTensor
from gpfn.platforms.openwhisk.protocol import (
    Init,
    Refusal,
    application_error,
    failure,
    parse_body,
    result_answer,
)

MEMBERS = st.sampled_from(["value", "code", "binary", "main", "env"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS | st.text(), inner),
    max_leaves=8,
)


def init(**members: object) -> Init:
    return Init.from_body(json.dumps({"value": members}).encode())


def test_an_init_as_the_controller_sends_it() -> None:
    found = init(name="f", main="go", binary=True, code="YWJj", env={"A": "b"})
    assert found == Init("YWJj", True, "go", {"A": "b"})
    assert found.decoded() == b"abc"
    assert init(code="❄").decoded() == "❄".encode()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b'{"value":null}', b'{"value":{"env":null}}']
)
def test_an_init_of_nothing(body: bytes) -> None:
    assert Init.from_body(body) == Init("", False, "main", {})


def test_variables_are_text_as_the_proxy_makes_them() -> None:
    env = {"s": "x", "n": None, "b": True, "i": 5, "f": 1.5, "o": {"a": [1]}}
    assert init(env=env).env == {
        "s": "x",
        "n": "null",
        "b": "true",
        "i": "5",
        "f": "1.5",
        "o": '{"a":[1]}',
    }


@pytest.mark.parametrize("code", ["a", "not base64!", "ab=cd", "❄"])
def test_base64_that_is_none(code: str) -> None:
    with pytest.raises(Refusal) as caught:
        init(code=code, binary=True).decoded()
    assert caught.value.answer.status == 400


@pytest.mark.parametrize(
    ("body", "status"), [(b"[1]", 404), (b'"a"', 404), (b"{", 400), (b"\xff", 400)]
)
def test_a_body_that_is_no_object(body: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        parse_body(body)
    assert caught.value.answer.status == status


@pytest.mark.parametrize("body", [b"[1]", b'"a"', b"{", b"\xff"])
def test_an_init_that_is_no_object(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        Init.from_body(body)
    status, text = caught.value.answer
    assert status == 400
    assert b"Error unmarshaling request: " in text


def test_errors_as_replies() -> None:
    assert failure(502, "a \ud800") == (502, b'{"error":"a \\\\ud800"}')
    status, body = application_error(InvalidTensor("wrong", field="data"))
    assert status == 200
    assert json.loads(body)["error"]["type"] == "invalid-tensor"
    assert b"secret" not in application_error(KeyError("secret")).body


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_gets_anything_but_a_refusal_out_of_it(body: bytes) -> None:
    with contextlib.suppress(Refusal):
        found = Init.from_body(body)
        assert all(isinstance(text, str) for text in found.env.values())
        found.decoded()


def test_whole_numbers_of_any_size_are_exact() -> None:
    long = 12345678901234567890123
    text = f'{{"value":{{"a":[{long},-9223372036854775809]}}}}'.encode()
    assert parse_body(text) == {"value": {"a": [long, -(2**63) - 1]}}
    assert init(env={"LONG": long}).env == {"LONG": str(long)}
    assert result_answer({"a": [long]}).body == f'{{"a":[{long}]}}'.encode()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (b"1e400", "value.a[1]: 1e400 is beyond the range of a double"),
        (b"9" * 4301, "value.a[1]: a whole number of 4301 digits; at most 4300 are read"),
    ],
)
def test_a_number_without_a_value_is_named_by_its_place(number: bytes, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_body(b'{"value":{"a":[0,' + number + b"]}}")
    assert caught.value.answer.status == 400
    assert says in json.loads(caught.value.answer.body)["error"]


def test_a_result_with_a_number_too_long_to_be_written_is_named() -> None:
    status, body = result_answer({"a": [0, 1 << 20_000]})
    assert status == 200
    assert "result.a[1] is a number of more than 4300 digits" in json.loads(body)["error"]

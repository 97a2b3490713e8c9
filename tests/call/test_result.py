"""What a function may return, and the bytes that become of it."""

import math
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import orjson
import pytest

from gpfn.call.payload import Payload
from gpfn.call.result import ResultBody, as_arrays, encode_result
from gpfn.errors import BackendError, GpfnError, UnsupportedMedia
from gpfn.events import Event
from gpfn.media import GRAPHPIPE
from gpfn.message import Message

PLAIN = Payload(b"", "application/json")


def encoded(result: object, asked: Payload = PLAIN, nonfinite: str = "null") -> ResultBody:
    body = encode_result(result, asked, nonfinite=nonfinite, output="y")
    assert isinstance(body, ResultBody)
    return body


@pytest.mark.parametrize(
    ("result", "data", "media_type"),
    [
        (None, None, ""),
        (b"ab", b"ab", "application/octet-stream"),
        (bytearray(b"ab"), b"ab", "application/octet-stream"),
        (memoryview(b"ab"), b"ab", "application/octet-stream"),
        ("é", "é".encode(), "text/plain; charset=utf-8"),
        (Payload(b"<a/>", "text/xml"), b"<a/>", "text/xml"),
        ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        ([], b"[]", "application/json"),
        ({}, b"{}", "application/json"),
        (0, b"0", "application/json"),
        (False, b"false", "application/json"),
        ((1, 2), b"[1,2]", "application/json"),
        ({"p": np.float32(0.5), "a": np.arange(4).reshape(2, 2).T}, None, "application/json"),
        (np.ones((1, 2), np.float32), b"[[1.0,1.0]]", "application/json"),
        (np.float64(2), b"2.0", "application/json"),
        ({"a": np.ones(1), "b": np.zeros(1)}, b'{"a":[1.0],"b":[0.0]}', "application/json"),
    ],
)
def test_every_kind_of_result(result: object, data: bytes | None, media_type: str) -> None:
    body = encoded(result)
    assert body.media_type == media_type
    if data is not None or result is None:
        assert body.data == data
    if body.valid_json:
        orjson.loads(body.data or b"")


def test_arrays_within_json_keep_their_order() -> None:
    body = encoded({"a": np.arange(4).reshape(2, 2).T, "text": "x"})
    assert orjson.loads(body.data or b"") == {"a": [[0, 2], [1, 3]], "text": "x"}


def test_events_and_messages_are_kept() -> None:
    for result in (Event(type="t", source="/"), Message(b"x")):
        assert encode_result(result, PLAIN, nonfinite="null", output="y") is result


def test_arrays_answer_in_the_media_type_they_came_in() -> None:
    octets = encoded(np.ones((1, 2), np.float32), Payload(b"", "application/octet-stream"))
    assert octets == ResultBody(
        np.ones(2, np.float32).tobytes(),
        "application/octet-stream",
        {"dtype": "float32", "shape": "1,2"},
    )
    for name in ("application/x-npy", "application/npy", "application/vnd.numpy"):
        npy = encoded(np.ones((1, 2), np.float32), Payload(b"", f"{name}; a=b"))
        assert (npy.data or b"").startswith(b"\x93NUMPY")
        assert npy.media_type == name
    other = encoded(np.ones((1, 2), np.float32), Payload(b"", "application/x+json"))
    assert (other.data, other.media_type) == (b"[[1.0,1.0]]", "application/json")


def test_several_arrays_do_not_fit_one_npy() -> None:
    with pytest.raises(UnsupportedMedia, match="carries one tensor"):
        encoded({"a": np.ones(1), "b": np.ones(1)}, Payload(b"", "application/x-npy"))


def test_arrays_answer_in_the_json_form_of_the_request() -> None:
    asked = Payload(b"", "application/json")
    asked.form = "flat"
    body = encoded(np.ones((1, 2), np.float32), asked)
    assert orjson.loads(body.data or b"") == {"shape": [1, 2], "data": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (np.array([1.0, math.nan]), "y[1]"),
        ({"a": [1.0, math.inf]}, "result.a[1]"),
        ([np.float32("nan")], "result[0]"),
        ({"a": {"b": np.array([[0.0], [-np.inf]]), "c": None}}, "result.a.b[1][0]"),
    ],
)
def test_nonfinite_is_null_and_said_so(result: object, place: str) -> None:
    body = encoded(result)
    assert b"null" in (body.data or b"")
    assert body.attributes == {"nonfinite": True}
    with pytest.raises(BackendError, match="JSON cannot hold") as caught:
        encoded(result, nonfinite="refuse")
    assert caught.value.field == place


def test_null_alone_is_not_nonfinite() -> None:
    assert encoded({"a": None, "b": [1.5]}).attributes == {}


@pytest.mark.parametrize("result", [{1, 2}, object(), {"a": b"x"}, (x for x in ()), {1: 2}])
def test_what_is_not_json_is_refused_by_its_type(result: object) -> None:
    with pytest.raises(GpfnError, match=f"returned a {type(result).__name__}"):
        encoded(result)


def test_as_arrays() -> None:
    assert as_arrays({"a": 1}, "y") is None
    assert as_arrays({}, "y") is None
    assert as_arrays([np.ones(1)], "y") is None
    assert list(as_arrays(np.ones(1), "y") or ()) == ["y"]


def test_a_result_that_is_no_array_does_not_load_numpy() -> None:
    code = """if True:
        import sys
        from gpfn.call.result import encode_result
        from gpfn.call.payload import Payload
        encode_result(b"x", Payload(), nonfinite="null", output="y")
        assert "orjson" not in sys.modules
        encode_result({"a": [1, 2]}, Payload(), nonfinite="null", output="y")
        assert "numpy" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"a": np.zeros(2)}, b'{"a":[0.0,0.0]}'),
        ({"p": np.float32(0.9)}, b'{"p":0.9}'),
        ({"p": np.float16(0.5)}, b'{"p":0.5}'),
        ({"p": np.int64(3)}, b'{"p":3}'),
        ({"s": np.array(["a", "b"])}, b'{"s":["a","b"]}'),
        (MappingProxyType({"a": np.zeros((1, 1))}), b'{"a":[[0.0]]}'),
        ({"a": np.array(2.5)}, b'{"a":2.5}'),
        ({"a": [np.zeros(1)]}, b'{"a":[[0.0]]}'),
    ],
)
def test_a_mapping_keeps_its_only_key(result: object, text: bytes) -> None:
    assert encoded(result).data == text
    for media_type in ("", "text/plain", "application/x+json", "image/png"):
        assert encoded(result, Payload(b"", media_type)).data == text


def test_the_key_stays_in_every_form_and_the_models_only_output_goes_bare() -> None:
    result = {"a": np.ones((1, 2), np.float32)}
    texts = {
        "nested": (b'{"a":[[1.0,1.0]]}', b"[[1.0,1.0]]"),
        "named": (b'{"a":[[1.0,1.0]]}',) * 2,
        "flat": (
            b'{"a":{"shape":[1,2],"data":[1.0,1.0]}}',
            b'{"shape":[1,2],"data":[1.0,1.0]}',
        ),
    }
    for form, (kept, bare) in texts.items():
        asked = Payload(b"", "application/json")
        asked.form = form
        for text, from_model in ((kept, False), (bare, True)):
            body = encode_result(result, asked, nonfinite="null", output="y", bare=from_model)
            assert isinstance(body, ResultBody)
            assert body.data == text


def test_whole_numbers_of_any_size_are_written() -> None:
    objects = np.array([2**70], object)
    assert encoded({"a": [2**70, -(2**64)], "b": objects}).data == (
        b'{"a":[1180591620717411303424,-18446744073709551616],"b":[1180591620717411303424]}'
    )
    assert encoded(2**64).data == b"18446744073709551616"
    with pytest.raises(GpfnError, match="more than 4300 digits") as caught:
        encoded({"a": [1, 1 << 20_000]})
    assert caught.value.field == "result.a[1]"


@pytest.mark.parametrize(
    ("result", "field"),
    [
        ({"a": [1, {2}]}, "result.a[1]"),
        ({"a": {"b c": b"x"}}, "result.a.'b c'"),
        ({"a": [np.complex64(1)]}, "result.a[0]"),
        ([2**70, object()], "result[1]"),
        ({1: np.zeros(1)}, None),
    ],
)
def test_what_is_not_json_is_named_by_its_place(result: object, field: str | None) -> None:
    with pytest.raises(GpfnError, match="not JSON") as caught:
        encoded(result)
    assert caught.value.field == field


MASKED = np.ma.array([1.0, 2.0], mask=[False, True])


@pytest.mark.parametrize(
    ("result", "field"),
    [
        (MASKED, "result"),
        (np.ma.array([1.0]), "result"),
        (np.ma.masked, "result"),
        ({"a": MASKED}, "result.a"),
        ({"a": np.zeros(1), "b": MASKED}, "result.b"),
        ({"a": MASKED, "text": "x"}, "result.a"),
        ([1, {"c": [MASKED]}], "result[1].c[0]"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/x-npy", GRAPHPIPE])
def test_a_masked_array_is_refused_by_its_place(
    result: object, field: str, media_type: str
) -> None:
    with pytest.raises(GpfnError, match="a masked array") as caught:
        encoded(result, Payload(b"", media_type))
    assert caught.value.field == field
    assert caught.value.status == 500

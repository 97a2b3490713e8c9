"""Data bytes by media type."""

import numpy as np
import orjson
import pytest

from gpfn.errors import TooLarge, UnsupportedMedia
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec, decode_bytes, encode
from tests.tensors.asking import LIMITS, SERIES, refusal, spec

ZEROS = np.zeros((2, 20, 1), np.float32)


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/octet-stream", "application/x-npy"]
)
@pytest.mark.parametrize("as_view", [bytes, memoryview])
def test_each_media_type(media_type: str, as_view: type) -> None:
    done = encode({"series": ZEROS}, media_type)
    arrays = decode_bytes(
        as_view(done.body), done.media_type, [SERIES], LIMITS, attributes=done.attributes
    )
    assert list(arrays) == ["series"]
    assert arrays["series"].dtype == np.float32
    assert np.array_equal(arrays["series"], ZEROS)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "data: empty"),
        (b"{", "data: not JSON: "),
        (b"[1,2,NaN]", "data: not JSON: "),
        (b"[1e999]", "data: not JSON: number is infinity"),
        (b'["\xff"]', "data: not JSON: "),
        (b"[" * 10_000 + b"]" * 10_000, "data: not JSON: "),
        (b"[[[1]]]", "data[0]: expected 20 lists, got 1"),
        (b'"\xc3\xbc"', "data: expected a list of lists, got the string 'ü'"),
        (b"null", "data: expected a list of lists, got null"),
    ],
)
def test_json_that_is_wrong(data: bytes, error: str) -> None:
    got = refusal(lambda: decode_bytes(data, "application/json", [SERIES], LIMITS))
    assert got.startswith(error)


@pytest.mark.parametrize(
    ("media_type", "error"),
    [
        ("image/png", "no decoder for 'image/png'; known: application/json, application/octet"),
        ("", "no decoder for data without a media type; known: "),
        ("application/json; charset=latin-1", "no decoder for 'application/json; charset=latin-1'"),
    ],
)
def test_other_media_types_are_refused(media_type: str, error: str) -> None:
    got = refusal(lambda: decode_bytes(b"[]", media_type, [SERIES], LIMITS), UnsupportedMedia)
    assert got.startswith(error)


def test_binary_forms_carry_one_tensor() -> None:
    specs = [spec("int8", name="a"), spec("int8", name="b")]
    for media_type in ("application/octet-stream", "application/x-npy"):
        error = refusal(lambda m=media_type: decode_bytes(b"", m, specs, LIMITS), UnsupportedMedia)
        assert error == f"{media_type} carries one tensor, this function takes a, b"


def test_binary_forms_carry_nan_unless_the_spec_says_finite() -> None:
    data = np.array([1, np.nan], "<f4").tobytes()
    arrays = decode_bytes(data, "application/octet-stream", [spec("float32")], LIMITS)
    assert np.isnan(arrays["x"][1])
    finite = TensorSpec("float32", None, "x", finite=True)
    error = refusal(lambda: decode_bytes(data, "application/octet-stream", [finite], LIMITS))
    assert error == "data[1]: expected a finite number, got nan"


def test_bytes_are_limited() -> None:
    data = orjson.dumps([0] * 50)
    error = refusal(
        lambda: decode_bytes(data, "application/json", [SERIES], Limits(body_bytes=99)), TooLarge
    )
    assert error == "data: more than 99 bytes; GPFN_MAX_BODY_BYTES sets this"

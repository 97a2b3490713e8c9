"""Whatever a caller sends as images and options, the answer is an answer or names what is wrong."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.call.image_request import read_image_request, real_number, whole_number
from gpfn.call.payload import Payload
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import CallerError, DeadlineExceeded, InvalidImage, TooLarge
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.platforms.load import load_function
from tests.conftest import ROOT
from tests.models.making_images import colour

PICTURE = base64.b64encode(colour((9, 9, 9))).decode()
SOME = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from([PICTURE, "1", "0.5", "http://127.0.0.1/x", "data:,", "digits"]),
)
VALUES = st.recursive(SOME, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
OPTIONS = st.dictionaries(
    st.sampled_from(["image", "images", "topk", "threshold", "model", "x"]), VALUES, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(OPTIONS, VALUES))
def test_any_json_is_answered_or_refused(document: object) -> None:
    digits = load_function(str(ROOT / "functions/digits"))
    try:
        body = orjson.dumps(document)
    except TypeError:  # a number that JSON's 64 bits do not hold
        return
    reply = digits.answer(Message(body, "application/json"))
    assert reply.status == 200 or 400 <= reply.status < 500, reply.message.body
    answer = orjson.loads(reply.message.body)
    assert answer.keys() & {"results", "images", "error"}


def read(document: object, **limits: Any) -> Any:
    return read_image_request(Payload.from_json(document), Limits(**limits), NEVER)


def test_images_share_what_one_call_may_have() -> None:
    data = base64.b64decode(PICTURE)
    request = read({"images": [PICTURE] * 3}, body_bytes=2 * len(data) + 5)
    assert request.several
    assert request.files[:2] == [data, data]
    assert isinstance(request.files[2], TooLarge)
    assert request.files[2].field == "images[2]"


def test_one_alone_is_told_at_once() -> None:
    with pytest.raises(InvalidImage, match="image: missing"):
        read({})
    request = read({"image": PICTURE, "topk": 2})
    assert (request.several, request.options["topk"]) == (False, 2)


def test_addresses_of_several_are_off_and_public_only(monkeypatch: pytest.MonkeyPatch) -> None:
    off, sound = read({"images": ["http://127.0.0.1/a", PICTURE]}).files
    assert "image URLs are off" in str(off)
    assert isinstance(sound, bytes)
    monkeypatch.setenv("GPFN_IMAGE_URLS", "on")
    (refused,) = read({"images": ["http://127.0.0.1/a"]}).files
    assert refused.type == "url-refused"


@pytest.mark.parametrize("value", ["", "x", "1e9", "nan", [1], {}, True, 2, -1, "1" * 30])
def test_a_threshold_is_0_to_1(value: object) -> None:
    with pytest.raises(CallerError, match="threshold"):
        real_number(value, "threshold")


def test_options_may_be_text_as_a_form_has_them() -> None:
    assert real_number("0.25", "threshold") == 0.25
    assert real_number(1, "threshold") == 1
    assert whole_number("3", 5, "topk") == 3
    assert real_number(None, "threshold") is whole_number(None, 5, "topk") is None


def test_nothing_is_fetched_when_no_bytes_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_IMAGE_URLS", "on")
    size = len(base64.b64decode(PICTURE))
    _, late = read({"images": [PICTURE, "http://127.0.0.1/a"]}, body_bytes=size).files
    assert isinstance(late, TooLarge)
    assert "no bytes are left" in late.detail


def test_after_the_deadline_no_image_is_read() -> None:
    payload = Payload.from_json({"images": [PICTURE]})
    with pytest.raises(DeadlineExceeded):
        read_image_request(payload, Limits(), Deadline.after(-1))

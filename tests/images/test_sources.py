"""An image arrives as text in many dresses, and as a form."""

import base64

import pytest

from gpfn.errors import InvalidImage, InvalidRequest, TooLarge
from gpfn.images.sources import from_text, multipart_fields

DATA = bytes(range(256)) * 3 + b"\xfb\xff"
TEXT = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        base64.encodebytes(DATA).decode(),
        TEXT.replace("=", ""),
        base64.urlsafe_b64encode(DATA).decode(),
        "\r\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)),
        f"data:image/jpeg;base64,{TEXT}",
        f"data:;BASE64,{TEXT}",
    ],
)
def test_base64_in_every_dress(text: str) -> None:
    assert from_text(text, 10_000) == DATA


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        ("", "empty"),
        ("  \n", "empty"),
        (17, "expected base64 text, got int"),
        (["a"], "expected base64 text, got list"),
        ("this is text, not base64!", "not base64: 'this is text, not base64…'"),
        ("Zürich", "not base64"),
        ("A", "not base64"),
        ("QUJD=QUJD", "not base64"),
        ("data:image/png,plain", "data URL"),
        ("data:", "data URL"),
    ],
)
def test_anything_else_is_named(text: object, reason: str) -> None:
    with pytest.raises(InvalidImage, match=reason) as caught:
        from_text(text, 10_000)
    assert caught.value.field == "image"


def test_the_size_is_checked_before_and_after_decoding() -> None:
    with pytest.raises(TooLarge, match="GPFN_MAX_BODY_BYTES"):
        from_text("A" * 100_000, 1000)
    with pytest.raises(TooLarge):
        from_text("AAAA" * 334, 1000)
    assert len(from_text("AAAA" * 333, 1000)) == 999


def test_a_form_gives_files_as_bytes_and_values_as_text() -> None:
    body = (
        b"--edge\r\ncontent-disposition: form-data; name=topk\r\n\r\n5\r\n"
        b'--edge\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"content-type: image/jpeg\r\n\r\n" + DATA + b"\r\n--edge--\r\n"
    )
    fields = multipart_fields(body, "multipart/form-data; boundary=edge")
    assert fields == {"topk": "5", "image": DATA}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=edge"),
        (b"anything", "multipart/form-data"),
        (b"--edge\r\n\r\nno name\r\n--edge--", "multipart/form-data; boundary=edge"),
    ],
)
def test_what_is_no_form_is_told(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        multipart_fields(body, content_type)

"""An image as base64 text, as a data URL, and as a field of a form."""

import base64
import json
import sys
import time
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import InvalidImage, InvalidRequest, MissingExtra, TooLarge
from gpfn.images.sources import (
    FORM_HEADER_BYTES,
    FORM_HEADERS,
    FORM_PARTS,
    from_bytes,
    from_text,
    multipart_fields,
)

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
        f" DATA:image/png;charset=x;base64, {TEXT}\n",
        f"data:image/png;base64,{quote(TEXT, safe='')}",
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        f'"{TEXT}"',
        f"'{TEXT}'\n",
        f'\ufeff"{TEXT}"',
        json.dumps(base64.encodebytes(DATA).decode()),
        json.dumps(TEXT).replace("/", "\\/"),
        f'"data:image/png;base64,{TEXT}"',
    ],
)
def test_base64_in_every_form(text: str) -> None:
    assert from_text(text, 10_000) == DATA
    assert from_bytes(text.encode(), 10_000) == DATA


FILES = [
    b"\xff\xd8\xff\xe0\0\x10JFIF",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89aAAAA\0\0\0,",
    b"GIF89aAAAA0AA;",
    b"RIFFAAAAWEBPVP8 AAAA\x10",
    b"<svg/>",
    b"what is this?",
    b"",
]


@pytest.mark.parametrize("data", FILES)
def test_a_file_is_what_it_is(data: bytes) -> None:
    assert from_bytes(data, 10_000) is data


def test_a_file_has_its_limit() -> None:
    with pytest.raises(TooLarge, match="more than 9 bytes of image"):
        from_bytes(FILES[0] * 2, 9)
    with pytest.raises(TooLarge, match="more than 9 bytes of image"):
        from_bytes(base64.b64encode(FILES[0] * 2), 9)


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
        ('"', "not base64"),
        ('""', "empty"),
        ("'" + TEXT, "not base64"),
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


FORM = "multipart/form-data; boundary=edge"


def part(head: bytes, content: bytes = b"x") -> bytes:
    """Return a part with this Content-Disposition behind ``form-data``."""
    return b"--edge\r\ncontent-disposition: form-data" + head + b"\r\n\r\n" + content + b"\r\n"


END = b"--edge--\r\n"


@pytest.mark.parametrize(
    ("head", "content", "fields"),
    [
        (b"; name=topk", b" 5 ", {"topk": "5"}),
        (b'; name="a b;c"', b"x", {"a b;c": "x"}),
        (b'; name="image"; filename="x;y.jpg"', DATA, {"image": DATA}),
        (b'; name="a\xc3\xa9"', b"\xff", {"aé": "\ufffd"}),
        (b"; name=image\r\nContent-Type: image/png", DATA, {"image": DATA}),
        (b"; name=image\r\ncontent-type: IMAGE/PNG; a=b", b"\r\n\r\n", {"image": b"\r\n\r\n"}),
        (b"; name=i; filename=a\r\ncontent-transfer-encoding: BASE64", b"AP8=", {"i": b"\0\xff"}),
        (b"; name=i\r\ncontent-transfer-encoding: quoted-printable", b"=41", {"i": "A"}),
        (b"; name=i\r\ncontent-transfer-encoding: binary", b"=41", {"i": "=41"}),
        (b'; name=i; filename=""', b"", {"i": b""}),
        (b"; name=i", b"--edge", {"i": "--edge"}),
    ],
)
def test_a_part_is_what_its_head_says(
    head: bytes, content: bytes, fields: dict[str, object]
) -> None:
    assert multipart_fields(part(head, content) + END, FORM) == fields
    before_and_after = b"not for us\r\n" + part(head, content) + END + b"nor this"
    assert multipart_fields(before_and_after, 'Multipart/Form-Data; Boundary="edge"') == fields


def test_the_last_of_one_name_is_kept_and_parts_may_be_large() -> None:
    body = part(b"; name=a", b"1") + part(b"; name=a; filename=b", DATA * 1000) + END
    assert multipart_fields(body, FORM) == {"a": DATA * 1000}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=edge"),
        (b"anything", "multipart/form-data"),
        (b"--edge\r\n\r\nno name\r\n--edge--", "multipart/form-data; boundary=edge"),
        (part(b"") + END, FORM),
        (part(b"; name=") + END, FORM),
        (part(b'; name=""') + END, FORM),
        (part(b"; name=a"), FORM),
        (part(b"; name=a") + b"--edge", FORM),
        (part(b"; name=a").replace(b"form-data", b"attachment") + END, FORM),
        (part(b"; name=a").replace(b"\r\n", b"\n") + END, FORM),
        (b"--edge\r\nno colon\r\n\r\nx\r\n" + END, FORM),
        (part(b"; name=a\r\n\xff: b") + END, FORM),
        (part(b"; name=a\r\ncontent-length: 7") + END, FORM),
        (part(b"; name=a\r\ncontent-transfer-encoding: base64", b"A") + END, FORM),
        (part(b"; name=a") + END, "multipart/form-data; boundary=other"),
        (part(b"; name=a") + END, "multipart/form-data; boundary="),
        (part(b"; name=a") + END, 'multipart/form-data; boundary="'),
        (part(b"; name=a") + END, "multipart/form-data; boundary=" + "e" * 71),
        (part(b"; name=a") + END, "multipart/form-data; boundary=é"),
        (part(b"; name=a") + END, "multipart/form-data; " + "a=b; " * 1000 + "boundary=edge"),
        # What the parser of the standard library fell over: deep comments, odd parameters.
        (b"--edge\r\ncontent-disposition: " + b"(" * 3000 + b"\r\n\r\nx\r\n" + END, FORM),
        (part(b"; =") + END, FORM),
        (part(b"; name*=") + END, FORM),
        (part(b"; name*0*=''") + END, FORM),
        (part(b"; filename=a") + END, FORM),
        (b"--edge\r\ncontent-disposition:\r\n\r\nx\r\n" + END, FORM),
        (b"--edge\r\ncontent-type: " + b"(" * 3000 + b"\r\n\r\nx\r\n" + END, FORM),
        (END, "multipart/form-data; boundary=" + "(" * 3000),
    ],
)
def test_what_is_no_form_is_told(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        multipart_fields(body, content_type)
    assert caught.value.field == "body"


@pytest.mark.parametrize(
    "body",
    [
        part(b"; name=a") * (FORM_PARTS + 1) + END,
        part(b"; name=a" + b"\r\nx-y: z" * FORM_HEADERS) + END,
        part(b"; name=" + b"a" * FORM_HEADER_BYTES) + END,
        part(b"; name=a" + b"\r\n b" * FORM_HEADER_BYTES) + END,
    ],
    ids=["parts", "headers", "one header", "continued header"],
)
def test_a_form_has_limits(body: bytes) -> None:
    with pytest.raises(TooLarge, match=f"a form has at most {FORM_PARTS} parts") as caught:
        multipart_fields(body, FORM)
    assert caught.value.field == "body"
    most = part(b"; name=a") * FORM_PARTS + END
    assert multipart_fields(most, FORM) == {"a": "x"}


SIZE = 112_000

HOSTILE = {
    "line breaks": part(b"; name=a", b"\r\n" * (SIZE // 2)) + END,
    "nearly the edge": part(b"; name=a", b"\r\n--edg" * (SIZE // 7)) + END,
    "hyphens": part(b"; name=a", b"\r\n" + b"-" * SIZE) + END,
    "no end": part(b"; name=a", b"x" * SIZE),
    "preamble": b"\r\n--edg" * (SIZE // 7) + part(b"; name=a") + END,
    "no lines": b"\r" * SIZE,
    "parts": part(b"; name=a", b"") * (SIZE // 50) + END,
    "edges": b"--edge\r\n" * (SIZE // 8),
    "headers": b"--edge\r\n" + b"a: b\r\n" * (SIZE // 6) + b"\r\n",
    "a header": b"--edge\r\na: " + b"b" * SIZE,
    "continued header": b"--edge\r\na: b" + b"\r\n c" * (SIZE // 4) + b"\r\n\r\n",
    "blank header": b"--edge\r\na:" + b" " * SIZE + b"\r\n\r\n",
    "quotes": part(b"; name=" + b'"\\' * (SIZE // 2)) + END,
    "parameters": part(b"; a=b" * 800 + b"; name=a") * 20 + END,
    "open quotes": part(b'; a="b' * 600 + b"; name=a") * 20 + END,
    "after the end": part(b"; name=a") + END + b"--edge\r\n" * (SIZE // 8),
    "quoted-printable": part(
        b"; name=a\r\ncontent-transfer-encoding: quoted-printable", b"=" * SIZE
    )
    + END,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_form_costs_what_its_length_costs(body: bytes) -> None:
    multipart_fields(part(b"; name=a") + END, FORM)  # loads the parser
    tracemalloc.start()
    started = time.process_time()
    try:
        multipart_fields(body, FORM)
    except (InvalidRequest, TooLarge) as error:
        assert len(str(error)) < 300  # noqa: PT017  (either outcome is right)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 0.1
    assert peak < 4 * len(body) + 300_000


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=" + "x" * 60_000,
        "multipart/form-data" + ';a="' * 15_000,
        "multipart/form-data" + "; a=b" * 12_000,
        "multipart/form-data" + ";" * 60_000,
        "multipart/form-data" + "; a=" + '"\\' * 30_000,
        "multipart/form-data; " + " " * 60_000,
    ],
    ids=range(6),
)
def test_a_hostile_content_type_costs_little(content_type: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidRequest):
        multipart_fields(part(b"; name=a") + END, content_type)
    assert time.process_time() - started < 0.1


def test_without_the_parser_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "multipart", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gpfn\[images\]'"):
        multipart_fields(END, FORM)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_form_is_fields_or_an_error(data: st.DataObject) -> None:
    pieces = [b"--edge", b"--edge--", b"\r\n", b"\r\n", b": ", b"content-disposition", b"form-data"]
    pieces += [
        b"; name=",
        b'"',
        b"a",
        b"\n",
        b"content-type: image/png",
        b"\xff",
        b"\\",
        b"%",
        b"=",
    ]
    body = b"".join(data.draw(st.lists(st.sampled_from(pieces), max_size=30)))
    if data.draw(st.booleans()):
        body = b"--edge\r\ncontent-disposition: form-data; name=" + body
    try:
        fields = multipart_fields(body, FORM)
    except (InvalidRequest, TooLarge):
        return
    assert all(isinstance(value, bytes | str) for value in fields.values())

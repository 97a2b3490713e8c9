"""What is wrong with an image costs no warm container: 200, the reason, and no second load."""

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.platforms.openwhisk.served import Action, served

MIB = 1 << 20


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seven() -> Image.Image:
    """Return the digit 7 that the function reads, large enough for every format."""
    root = Path(__file__).resolve().parents[2]
    return Image.open(root / "ce_samples/digit-7.png").convert("L").resize((64, 64))


def headed(width: int, height: int) -> bytes:
    """Return a PNG that says it is this large, and ends there."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (struct.pack(">I", 13), head, struct.pack(">I", zlib.crc32(head)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + bytes(4) + b"IDAT" + bytes(4)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def web(body: bytes, content_type: str) -> dict[str, object]:
    """Return a web action's request with a binary body."""
    headers = {"content-type": content_type}
    return {"__ow_method": "post", "__ow_headers": headers, "__ow_body": text(body)}


PHOTO = encoded(seven(), "JPEG")
GOOD = {"image": text(PHOTO)}

BAD: list[tuple[object, str, str, str]] = [
    ({}, "invalid-image", "image", "missing"),
    ({"image": None}, "invalid-image", "image", "missing"),
    ({"image": ""}, "invalid-image", "image", "empty"),
    ({"image": 7}, "invalid-image", "image", "expected base64 text"),
    ({"image": {}}, "invalid-image", "image", "expected base64 text"),
    ({"image": "not base64!"}, "invalid-image", "image", "not base64"),
    ({"image": "\ud7ff\u00e9"}, "invalid-image", "image", "not base64"),
    ({"image": text(b"text, not a picture")}, "invalid-image", "image", "not an image"),
    ({"image": "data:image/png;base64,"}, "invalid-image", "image", "empty"),
    ({"image": "data:image/png,abc"}, "invalid-image", "image", "data URL"),
    ({"image": text(PHOTO[:-400])}, "invalid-image", "image", "damaged JPEG file"),
    ({"image": text(PHOTO[:20])}, "invalid-image", "image", "damaged JPEG file"),
    ({"image": text(encoded(seven(), "PNG")[:200])}, "invalid-image", "image", "damaged PNG file"),
    ({"image": text(headed(20_000, 20_000))}, "too-large", "image", "20000 x 20000"),
    ({"image": text(headed(0, 7))}, "invalid-image", "image", "damaged PNG file"),
    ({"image": text(b"<svg xmlns='http://www.w3.org/'/>")}, "invalid-image", "image", "SVG"),
    ({"image": text(b"<!DOCTYPE html><p>404</p>")}, "invalid-image", "image", "HTML"),
    ({"image": "A" * (2 * MIB)}, "too-large", "value", "bytes of parameters"),
    ({**GOOD, "topk": 0}, "bad-request", "topk", "1 to 10, got 0"),
    ({**GOOD, "topk": -1}, "bad-request", "topk", "1 to 10, got -1"),
    ({**GOOD, "topk": 10**9}, "bad-request", "topk", "1 to 10"),
    ({**GOOD, "topk": "three"}, "bad-request", "topk", "whole number"),
    ({**GOOD, "topk": 2.5}, "bad-request", "topk", "whole number"),
    ({**GOOD, "model": "resnet"}, "invalid-request", "model", "unknown model 'resnet'"),
    ({**GOOD, "model": ["digits"]}, "invalid-request", "model", "unknown model"),
    ({"image": "https://example.com/cat.jpg"}, "invalid-image", "image", "image URLs are off"),
    ([GOOD], "invalid-request", "body", "expected an object"),
]  # fmt: skip
"""Parameters, and the type, the field and the detail of the error that they are answered with."""

STRANGE = {
    "animated": encoded(seven(), "GIF", save_all=True, append_images=[Image.new("L", (64, 64))]),
    "CMYK": encoded(seven().convert("CMYK"), "JPEG", quality=95),
    "16 bits": encoded(Image.fromarray(np.asarray(seven()).astype(np.uint16) * 257), "PNG"),
    "transparent": encoded(seven().convert("LA"), "PNG"),
    "WebP": encoded(seven(), "WEBP", lossless=True),
}
"""Images that are read although they are unusual."""


def error_of(action: Action, value: object) -> dict[str, Any]:
    reply = action.run(value)
    assert reply.status == 200, "any other status would end the container"
    error = reply.error
    assert isinstance(error, dict)
    return error


def test_a_callers_fault_is_answered_and_the_model_stays(root: Path, tmp_path: Path) -> None:
    with served(tmp_path, str(root / "functions/digits")) as action:
        assert action.init().status == 200
        assert action.init().status == 403  # neither does this load it again
        for value, kind, field, detail in BAD:
            error = error_of(action, value)
            assert (error["type"], error["field"]) == (kind, field), error
            assert detail in error["detail"]
            assert 400 <= error["status"] < 500
        for name, file in STRANGE.items():
            answer: Any = action.run({"image": text(file), "topk": 1}).json()
            assert answer["results"][0]["className"] == "7", name
        assert action.popen.poll() is None
        out, err = action.text()
    assert loads(out) == 1
    assert out.count(" info openwhisk ") >= len(BAD)
    assert "Traceback" not in err


def test_the_count_of_loads_can_count(root: Path, tmp_path: Path) -> None:
    """The check itself: /init with new settings loads the action again, and is counted."""
    with served(tmp_path, str(root / "functions/digits")) as action:
        assert action.init(env={"GPFN_IMAGE_URLS": "off"}).status == 200
        assert action.run(GOOD).status == 200
        assert loads(action.text()[0]) == 2


def loads(log: str) -> int:
    """Count how often the action was loaded, as its log tells."""
    return sum(" digits ready: import " in line for line in log.splitlines())


def test_a_web_actions_caller_gets_the_status_too(root: Path, tmp_path: Path) -> None:
    with served(tmp_path, str(root / "functions/digits")) as action:
        assert action.init().status == 200
        for value, status in (
            (web(PHOTO, "image/jpeg"), 200),
            (web(PHOTO, "application/octet-stream"), 200),
            (web(PHOTO, "application/pdf"), 415),
            (web(b"<html>", "image/jpeg"), 400),
            (web(b"{}", "application/json"), 400),
        ):
            reply = action.run(value)
            assert reply.status == 200
            document: Any = reply.json()
            response = document.get("error", document)
            assert response.get("statusCode", 200) == status, document
        assert loads(action.text()[0]) == 1


def test_before_init_and_without_a_function_nothing_runs(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.run(GOOD).status == 500
        assert json.loads(action.run(GOOD).body) == {"error": "no action defined yet"}

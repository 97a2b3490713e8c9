"""classify names what is in real photos, however they come, and says what is wrong with others."""

import base64
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from gpfn.errors import ModelUnreadable
from gpfn.events import Event
from gpfn.function.function import Function
from gpfn.message import Message
from gpfn.models.catalogue import default_catalogue
from gpfn.platforms.load import load_function

PHOTOS = {"cat_720p.jpg": "Egyptian cat", "burger.jpg": "cheeseburger", "mug.png": "coffee mug"}


@pytest.fixture
def cache(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with the models of the catalogue in it, as ``gpfn models pull`` leaves it."""
    from gpfn.models.store import obtain

    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data/models"))
    for name in ("mobilenet_v1", "mobilenet_v2"):
        for file in default_catalogue().get(name).files:
            obtain(file)
    return tmp_path


@pytest.fixture
def classify(cache: Path, root: Path) -> Function:
    function = load_function(str(root / "functions/classify"))
    function.open()
    return function


@pytest.fixture
def digits(root: Path) -> Function:
    return load_function(str(root / "functions/digits"))


def ask(function: Function, value: object) -> tuple[int, Any]:
    reply = function.answer(Message(orjson.dumps(value), "application/json"))
    return reply.status, orjson.loads(reply.message.body)


def photo(shared: Path, name: str) -> bytes:
    return (shared / "data/images" / name).read_bytes()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(("name", "what"), PHOTOS.items())
def test_the_photos_are_named(classify: Function, shared: Path, name: str, what: str) -> None:
    status, answer = ask(classify, {"image": text(photo(shared, name))})
    assert status == 200
    assert list(answer) == ["results"]
    assert [list(result) for result in answer["results"]] == [["className", "probability"]] * 3
    assert answer["results"][0]["className"] == what
    probabilities = [result["probability"] for result in answer["results"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.5 < probabilities[0] <= 1


def test_topk_and_the_other_model(classify: Function, shared: Path) -> None:
    image = text(photo(shared, "burger.jpg"))
    _, answer = ask(classify, {"image": image, "topk": 1, "model": "mobilenet_v1"})
    assert [result["className"] for result in answer["results"]] == ["cheeseburger"]
    _, everything = ask(classify, {"image": image, "topk": 1001})
    assert len(everything["results"]) == 1001
    total = sum(result["probability"] for result in everything["results"])
    assert total == pytest.approx(1, abs=0.05)  # dequantised scores are probabilities


def test_the_image_may_be_the_body_a_form_or_an_events_data(
    classify: Function, shared: Path
) -> None:
    data = photo(shared, "burger.jpg")
    form = (
        b'--x\r\ncontent-disposition: form-data; name="topk"\r\n\r\n1\r\n--x\r\ncontent-'
        b'disposition: form-data; name="image"; filename="b.jpg"\r\n\r\n' + data + b"\r\n--x--\r\n"
    )
    for message in (
        Message(data, "image/jpeg"),
        Message(data, "application/octet-stream"),
        Message(data, "text/plain"),  # what `cat photo.jpg | fn invoke` says
        Message(text(data).encode(), "text/plain"),  # and `base64 photo.jpg | fn invoke`
        Message(f"data:image/jpeg;base64,{text(data)}".encode(), "text/plain"),
        Message(base64.urlsafe_b64encode(data), "text/plain"),
        Message(
            f'"{text(data)}"\n'.encode(), "text/plain"
        ),  # as JSON has it, whatever it is called
        Message(f'"{text(data)}"'.encode(), "application/json"),
        Message(base64.encodebytes(data), "application/octet-stream"),
        Message(text(data).encode(), "image/jpeg"),
        Message(form.replace(data, text(data).encode()), "multipart/form-data; boundary=x"),
        Message(form, "multipart/form-data; boundary=x"),
    ):
        reply = classify.answer(message)
        assert reply.status == 200, reply.message.body
        assert orjson.loads(reply.message.body)["results"][0]["className"] == "cheeseburger"
    for content, media_type in (
        (data, "image/jpeg"),
        (text(data), "image/jpeg"),
        (base64.urlsafe_b64encode(data).decode(), "text/plain"),
        (text(data), "application/json"),
        (orjson.dumps({"image": text(data)}), "application/json"),
    ):
        event = Event(
            id="1", source="/test", type="photo", data=content, datacontenttype=media_type
        )
        answer = classify(event)
        assert isinstance(answer, Event)
        assert answer.json()["results"][0]["className"] == "cheeseburger"


def test_the_model_may_lie_beside_the_function(
    cache: Path, root: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "beside"
    shutil.copytree(root / "functions/classify", folder)
    for name in ("mobilenet_v2_1.0_224_quant.tflite", "imagenet_labels.txt"):
        shutil.copy(shared / "data/models" / name, folder)
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "empty"))
    function = load_function(str(folder))
    assert function.open().uri == str(folder / "mobilenet_v2_1.0_224_quant.tflite")
    status, _ = ask(function, {"image": text(photo(shared, "burger.jpg"))})
    assert status == 200


def test_a_missing_model_is_not_downloaded_but_explained(
    root: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("GPFN_CACHE_DIR", str(cache))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data/models"))
    shutil.copytree(root / "functions/classify", tmp_path / "classify")  # loaded nowhere else
    function = load_function(str(tmp_path / "classify"))
    with pytest.raises(ModelUnreadable, match="run: gpfn models pull mobilenet_v2"):
        function.open()
    assert not cache.exists()


def test_missing_labels_are_told_before_the_first_call(
    root: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "classify"
    shutil.copytree(root / "functions/classify", folder)
    shutil.copy(shared / "data/models/mobilenet_v2_1.0_224_quant.tflite", folder)
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(ModelUnreadable, match=r"imagenet_labels\.txt is not on this machine"):
        load_function(str(folder)).open()
    (folder / "imagenet_labels.txt").write_text("cat\ndog\n")
    with pytest.raises(ModelUnreadable, match="has 2 labels for 1001 classes"):
        load_function(str(folder)).open()


AFTER_OPENING = """
import sys
from gpfn.message import Message
from gpfn.platforms.load import load_function
function = load_function("functions/digits")
function.open()
before = set(sys.modules)
reply = function.answer(Message(sys.stdin.buffer.read(), "application/json"))
assert reply.status == 200, reply
print(*sorted(set(sys.modules) - before))
"""


def test_the_first_call_imports_nothing(root: Path) -> None:
    """Fails when the preparation is not warmed up: who asks first would wait for Pillow."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "JPEG")
    run = subprocess.run(
        [sys.executable, "-c", AFTER_OPENING],
        input=orjson.dumps({"image": text(buffer.getvalue())}),
        stdout=subprocess.PIPE,
        cwd=root,
        check=True,
    )
    assert run.stdout == b"\n"


def png(*size: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "kind", "field", "detail"),
    [
        ({}, "invalid-image", "image", "missing"),
        ({"image": ""}, "invalid-image", "image", "empty"),
        ({"image": 7}, "invalid-image", "image", "got int"),
        ({"image": "not base64!"}, "invalid-image", "image", "not base64"),
        ({"image": text(b"plain text")}, "invalid-image", "image", "not an image"),
        ({"image": text(b"<svg xmlns=''/>")}, "invalid-image", "image", "SVG"),
        ({"image": text(b"<!DOCTYPE html>")}, "invalid-image", "image", "HTML"),
        ({"image": text(png(4900, 4900))}, "too-large", "image", "4900 x 4900"),
        ({"image": "A" * 10_000_000}, "too-large", None, ""),
        ({"image": "http://example.com/a.jpg"}, "invalid-image", "image", "image URLs are off"),
        ({"image": text(png(8, 8)), "topk": 0}, "bad-request", "topk", "1 to 10, got 0"),
        ({"image": text(png(8, 8)), "topk": -1}, "bad-request", "topk", "1 to 10, got -1"),
        ({"image": text(png(8, 8)), "topk": 10**9}, "bad-request", "topk", "1 to 10"),
        ({"image": text(png(8, 8)), "topk": "three"}, "bad-request", "topk", "whole number"),
        ({"image": text(png(8, 8)), "topk": 1.5}, "bad-request", "topk", "whole number"),
        ({"image": text(png(8, 8)), "topk": True}, "bad-request", "topk", "whole number"),
        ({"image": text(png(8, 8)), "topk": "9" * 5000}, "bad-request", "topk", "whole number"),
        ({"image": text(png(8, 8)), "topk": "0" * 5000}, "bad-request", "topk", "1 to 10"),
        ({"image": text(png(8, 8)), "topk": "٣"}, "bad-request", "topk", "whole number"),
        ({"image": text(png(8, 8)), "model": "resnet"}, "invalid-request", "model", "digits"),
        ({"image": text(png(8, 8)), "model": "../../etc"}, "invalid-request", "model", "unknown"),
        ([1, 2], "invalid-request", "body", "expected an object"),
        ("text", "invalid-image", "image", "not an image"),
    ],
)
def test_bad_input_is_named(
    digits: Function, value: object, kind: str, field: str | None, detail: str
) -> None:
    status, answer = ask(digits, value)
    assert 400 <= status < 500
    assert answer["error"]["type"] == kind
    if field:
        assert answer["error"]["field"] == field
    assert detail in answer["error"]["detail"]
    assert ask(digits, {"image": text(png(8, 8))})[0] == 200


def test_other_media_types_are_refused_by_name(digits: Function) -> None:
    for media_type in ("application/pdf", "text/html", "application/x-npy"):
        reply = digits.answer(Message(png(8, 8), media_type))
        assert reply.status == 415
        error = orjson.loads(reply.message.body)["error"]
        assert (error["type"], error["field"]) == ("unsupported-media", "content-type")
        assert media_type in error["detail"]


def test_an_image_url_is_fetched_only_when_switched_on_and_public(
    digits: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_IMAGE_URLS", "on")
    for url in ("http://127.0.0.1/a.png", "http://169.254.169.254/", "HTTPS://localhost/a.png"):
        status, answer = ask(digits, {"image": url})
        assert status == 400
        assert answer["error"]["type"] == "url-refused"
        assert answer["error"]["field"] == "image"


def test_digits_reads_a_digit_with_nothing_downloaded(
    digits: Function, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path))
    data = (root / "ce_samples/digit-7.png").read_bytes()
    _, answer = ask(digits, {"image": text(data)})
    assert answer["results"][0]["className"] == "7"
    assert not any(tmp_path.iterdir())


def test_the_bundled_copy_is_the_same_model(root: Path) -> None:
    beside = (root / "functions/digits/digits.tflite").read_bytes()
    assert beside == (root / "models/digits.tflite").read_bytes()


def test_real_digits_are_read_mostly_right(digits: Function) -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    right = 0
    for image, target in list(zip(data.images, data.target, strict=True))[-100:]:
        buffer = io.BytesIO()
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(buffer, "PNG")
        _, answer = ask(digits, {"image": text(buffer.getvalue()), "topk": 1})
        right += answer["results"][0]["className"] == str(target)
    assert right >= 95

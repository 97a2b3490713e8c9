"""Files to rows: the same values as one picture alone gives, and zeros where there is none."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gpfn import Function
from gpfn.call.contract import Call
from gpfn.classy.prepare import Preprocessor, image_input
from gpfn.deadline import Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, SetupError, TooLarge
from gpfn.images.preparation import ImageInput, prepare
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.scope import SCOPE, CallScope
from tests.classy.pictures import picture

SMALL = ImageInput(8, 6)
SCALED = {"quantised": False, "mean": (1.0, 2.0, 3.0), "std": (4.0, 5.0, 6.0)}
MOST = Limits(body_bytes=1 << 31, elements=1 << 28)


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPFN_IMAGE_INPUT", raising=False)


def ask(
    handler: Preprocessor,
    *files: bytes,
    call: Call = Call(),  # noqa: B008 - immutable
) -> tuple[np.ndarray, list[str]]:
    images = np.empty(len(files), object)
    images[:] = files
    answer = handler.predict(images, call)
    assert list(answer) == ["image", "image_problems"]
    return answer["image"], [text.decode() for text in answer["image_problems"]]


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        ImageInput(8, 6, channels="L"),
        ImageInput(8, 6, channels="BGR", layout="NCHW", fit="crop"),
        ImageInput(8, 6, layout="NCHW", **SCALED),  # type: ignore[arg-type]
        ImageInput(8, 6, channels="L", quantised=False, mean=(1.0,), std=(2.0,)),
    ],
)
def test_a_row_is_what_the_picture_alone_gives(shared: Path, spec: ImageInput) -> None:
    folder = shared / "data/images"
    files = [(folder / name).read_bytes() for name in ("burger.jpg", "cat_720p.jpg", "mug.png")]
    handler = Preprocessor(spec, limits=MOST)
    handler.open()
    rows, problems = ask(handler, *files)
    assert problems == [""] * 3
    told = handler.outputs["image"]
    assert rows.dtype == np.dtype(told.dtype)
    assert told.shape == (None, *rows.shape[1:])
    for row, data in zip(rows, files, strict=True):
        np.testing.assert_array_equal(row, prepare(data, spec, MOST.pixels)[0])


def test_one_bad_file_is_a_row_of_zeros(shared: Path) -> None:
    good, large = picture(shade=9), picture("PNG", size=(200, 200))
    limits = MOST._replace(pixels=10_000)
    files = (good, b"", b"just text", good[:-200], large, b"<html>", picture("PNG", shade=5))
    rows, problems = ask(Preprocessor(SMALL, limits=limits), *files)
    assert [rows[number].max() for number in range(7)] == [9, 0, 0, 0, 0, 0, 5]
    assert problems[0] == problems[6] == ""
    assert problems[1] == "no image"
    assert "not an image" in problems[2]
    assert "damaged JPEG" in problems[3]
    assert "200 x 200 is more than 10000 pixels" in problems[4]
    assert "an HTML page" in problems[5]


def test_many_files_keep_their_order() -> None:
    files = [picture("PNG", shade=number % 256) for number in range(300)]
    rows, problems = ask(Preprocessor(SMALL, limits=MOST), *files)
    assert problems == [""] * 300
    assert [int(row[0, 0, 0]) for row in rows] == [number % 256 for number in range(300)]
    assert all((row == row[0, 0, 0]).all() for row in rows)
    assert not [thread for thread in threading.enumerate() if "_rows" in thread.name]


def test_memory_is_bounded_before_it_is_spent() -> None:
    handler = Preprocessor("mobilenet_v2", limits=Limits())
    with pytest.raises(TooLarge, match="42 pictures become 6322176 bytes; at most 6291456") as body:
        ask(handler, *[b""] * 42)
    assert body.value.field == "images"
    handler = Preprocessor("mobilenet_v2", limits=MOST._replace(elements=1_000_000))
    with pytest.raises(TooLarge, match="10000 pictures become 1505280000 values") as values:
        ask(handler, *[b""] * 10_000)
    assert values.value.field == "images"
    with pytest.raises(InvalidTensor, match="empty") as empty:
        ask(handler)
    assert empty.value.field == "images"


def test_after_the_deadline_nothing_is_prepared() -> None:
    files = [picture(size=(1500, 1000))] * 200
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        ask(Preprocessor(SMALL, limits=MOST), *files, call=Call(deadline=Deadline.after(0.05)))
    assert time.monotonic() - began < 1


def test_nothing_is_prepared_for_a_caller_who_has_left() -> None:
    files = [picture(size=(1500, 1000))] * 400
    scope = CallScope()
    token = SCOPE.set(scope)
    threading.Timer(0.1, scope.cancel).start()
    began = time.monotonic()
    try:
        with pytest.raises(DeadlineExceeded, match="nobody waits"):
            ask(Preprocessor(SMALL, limits=MOST), *files)
    finally:
        SCOPE.reset(token)
    assert 0.05 < time.monotonic() - began < 1


def test_what_a_model_wants_may_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = {"height": 8, "width": 6, "channels": "RGB", "layout": "NHWC", "fit": "stretch"}
    whole = json.dumps(table | {"quantised": True})
    assert image_input("digits", field="f") == ImageInput(8, 8, channels="L", fit="crop")
    assert image_input(f" {whole}", field="f") == SMALL
    scaled = json.dumps(table | SCALED)
    assert image_input(scaled, field="f") == SMALL._replace(**SCALED)  # type: ignore[arg-type]
    toml = tmp_path / "model.toml"
    toml.write_text('model = "m.onnx"\n[image]\nheight = 8\nwidth = 6\nchannels = "RGB"\n'
                    'layout = "NHWC"\nquantised = true\nfit = "stretch"\n')  # fmt: skip
    for named in ("digits", whole, str(toml)):
        monkeypatch.setenv("GPFN_IMAGE_INPUT", named)
        assert Preprocessor("mobilenet_v2").image == image_input(named, field="f")
    toml.write_text('model = "m.onnx"\n')
    for named, field, told in (
        ("nothing", "GPFN_IMAGE_INPUT", "no model named 'nothing'; the catalogue has: "),
        (str(toml), "GPFN_IMAGE_INPUT", "does not say what it makes of an image"),
        ("{", "GPFN_IMAGE_INPUT", "not JSON"),
        ('{"height": 0}', "height", "above 0, got 0, in GPFN_IMAGE_INPUT"),
        (json.dumps(table | {"quantised": True, "height": -1}), "height", "above 0"),
        (json.dumps(table | {"quantised": True, "depth": 3}), "depth", "unknown key"),
        (str(tmp_path / "absent.toml"), str(tmp_path / "absent.toml"), "cannot be read"),
    ):
        monkeypatch.setenv("GPFN_IMAGE_INPUT", named)
        with pytest.raises(SetupError, match=told) as caught:
            Preprocessor()
        assert caught.value.field == field


def test_it_is_a_whole_function() -> None:
    function = Function(Preprocessor(SMALL, limits=MOST), name="prepare")
    answer = function({"images": np.array([picture(shade=3), b""], object)})
    assert answer["image"].shape == (2, 8, 6, 3)  # type: ignore[index]
    reply = function.answer(Message(b'{"images": ["text", {"b64": "AAAA"}]}', "application/json"))
    assert reply.status == 200
    assert len(json.loads(reply.message.body)["image_problems"]) == 2

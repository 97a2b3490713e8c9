"""functions/prepare as it lies there: what it gives is what the model of the catalogue takes."""

import base64
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn import Function
from gpfn.images.preparation import ImageInput, prepare
from gpfn.message import Message
from gpfn.models.catalogue import default_catalogue
from gpfn.platforms.load import load_function

LIMIT = 24_000_000


def loaded(root: Path, folder: Path) -> Function:
    """Load a copy: a file is loaded once, and reads its settings then."""
    shutil.copytree(root / "functions/prepare", folder / "prepare")
    function = load_function(str(folder / "prepare"))
    function.open()
    return function


def test_rows_are_what_classify_would_compute_with(
    root: Path, shared: Path, tmp_path: Path
) -> None:
    files = [(shared / "data/images" / name).read_bytes() for name in ("burger.jpg", "mug.png")]
    answer: Any = loaded(root, tmp_path)({"images": np.array([*files, b""], object)})
    spec = default_catalogue().get("mobilenet_v2").image
    assert spec is not None
    wanted = np.concatenate([prepare(file, spec, LIMIT) for file in files])
    np.testing.assert_array_equal(answer["image"][:2], wanted)
    assert not answer["image"][2].any()
    assert answer["image_problems"].tolist() == [b"", b"", b"no image"]


def test_the_sample_over_json(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_IMAGE_INPUT", "digits")
    sample = (root / "functions/prepare/sample.json").read_bytes()
    reply = loaded(root, tmp_path).answer(Message(sample, "application/json"))
    assert reply.status == 200
    answer = orjson.loads(reply.message.body)
    assert answer["image_problems"] == [""]
    file = base64.b64decode(orjson.loads(sample)["images"][0]["b64"])
    spec = ImageInput(8, 8, channels="L", fit="crop")
    assert answer["image"] == prepare(file, spec, LIMIT).tolist()


def test_more_than_a_reply_may_have_is_refused(root: Path, tmp_path: Path) -> None:
    body = orjson.dumps({"images": [""] * 10_000})
    reply = loaded(root, tmp_path).answer(Message(body, "application/json"))
    assert reply.status == 413
    assert orjson.loads(reply.message.body)["error"]["field"] == "images"

"""The parameters that are sent when none are given, and the picture among them."""

import base64
import io
import json
import runpy
from pathlib import Path

import numpy as np
from PIL import Image


def test_the_scene_is_what_scene_py_draws(root: Path) -> None:
    """Not byte for byte: encoders differ by version, drawings hardly."""
    drawn = runpy.run_path(str(root / "ce_samples/scene.py"))["scene"]()
    with Image.open(root / "ce_samples/scene.jpg") as kept:
        assert kept.size == drawn.size == (1280, 720)
        difference = np.asarray(kept.convert("RGB")).astype(int) - np.asarray(drawn)
    assert abs(difference).mean() < 3


def test_samples_hold_what_lies_in_ce_samples(root: Path) -> None:
    for function, file in (("classify", "scene.jpg"), ("digits", "digit-7.png")):
        sample = json.loads((root / "functions" / function / "sample.json").read_text())
        data = base64.b64decode(sample["image"], validate=True)
        assert data == (root / "ce_samples" / file).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    event = root / "functions/forecast/sample.json"
    assert event.read_bytes() == (root / "ce_samples/forecast.json").read_bytes()

"""Photos for tests: drawn shapes in folders called after them, always the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["SHAPES", "drawn", "photos"]

SHAPES = ("circle", "square", "triangle")


def photos(folder: Path, count: int, shapes: Sequence[str] = SHAPES, seed: int = 1) -> Path:
    """Draw ``count`` pictures of each shape, half of them PNG, half JPEG; returns ``folder``."""
    chance = np.random.default_rng(seed)
    for shape in shapes:
        place = folder / shape
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = drawn(shape, chance)
            picture.save(place / f"{number:02}.{'png' if number % 2 else 'jpg'}")
    return folder


def drawn(shape: str, chance: np.random.Generator) -> Image.Image:
    """Return a dark shape on a light ground, its place, its size and its colours by chance."""
    width, height = (int(side) for side in chance.integers(150, 260, 2))
    light, dark = ([int(c) for c in chance.integers(*span, 3)] for span in ((150, 256), (0, 110)))
    picture = Image.new("RGB", (width, height), tuple(light))
    pen, fill = ImageDraw.Draw(picture), tuple(dark)
    half = int(chance.integers(35, 60))
    x, y = width // 2 + int(chance.integers(-15, 15)), height // 2 + int(chance.integers(-15, 15))
    box = (x - half, y - half, x + half, y + half)
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    else:
        pen.polygon([(x, y - half), (x - half, y + half), (x + half, y + half)], fill=fill)
    return picture

"""Draw a photo-like scene of our own: a lake before mountains, 1280 by 720.

    python ce_samples/scene.py

It writes scene.jpg and, beside each function, sample.json: the parameters that
`gpfn coldstart FUNCTION` sends. tests/coldstart/test_samples.py compares.
"""

import io
import json
from base64 import b64encode
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["main", "scene"]

HERE = Path(__file__).resolve().parent
FUNCTIONS = HERE.parent / "functions"
WIDTH, HEIGHT, SHORE = 1280, 720, 470
SEED = 4


def scene() -> Image.Image:
    """Return the picture; it is the same every time."""
    random = np.random.default_rng(SEED)
    high = np.linspace(0, 1, SHORE)[:, None, None]
    sky = (1 - high) * [70, 120, 190] + high * [215, 222, 228]
    land = np.broadcast_to(sky, (SHORE, WIDTH, 3)).copy()
    land += 38 * np.clip(noise(random, SHORE, WIDTH, 9), 0, None)[..., None] * (1 - high)
    for height, colour in ((150, [120, 135, 160]), (95, [72, 92, 96]), (42, [34, 60, 38])):
        range_(land, random, height, np.array(colour, float))
    water = land[::-1][: HEIGHT - SHORE] * 0.72 + [4, 12, 18]
    ripples = noise(random, HEIGHT - SHORE, 40, 7, 0.8).repeat(WIDTH // 40, 1)
    water += 14 * ripples[..., None]
    pixels = np.concatenate([land, water]).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def range_(land: np.ndarray, random: np.random.Generator, height: int, colour: np.ndarray) -> None:
    """Draw a range of mountains over the land, ``height`` pixels high on average."""
    crest = SHORE - height * (1 + 1.5 * noise(random, 1, WIDTH, 9, 0.62)[0])
    rows = np.arange(SHORE)[:, None]
    slope = noise(random, SHORE, WIDTH, 9, 0.7)[..., None]
    shaded = colour + 22 * slope + 0.06 * (rows[..., None] - SHORE + height)
    inside = rows >= crest
    land[inside] = shaded[inside]


def noise(
    random: np.random.Generator, height: int, width: int, octaves: int, rough: float = 0.5
) -> np.ndarray:
    """Return noise about -1 to 1: waves, each half as long and ``rough`` times as strong."""
    total = np.zeros((height, width))
    for octave in range(octaves):
        cells = (min(2 ** (octave + 1) + 1, height), min(2 ** (octave + 1) + 1, width))
        grid = random.uniform(-1, 1, cells).astype(np.float32)
        grown = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(grown) * rough ** (octave + 1)
    return total


def main() -> None:
    """Write the files."""
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", quality=72, optimize=True)
    (HERE / "scene.jpg").write_bytes(buffer.getvalue())
    digit = (HERE / "digit-7.png").read_bytes()
    for function, image in (("classify", buffer.getvalue()), ("digits", digit)):
        parameters = {"image": b64encode(image).decode()}
        (FUNCTIONS / function / "sample.json").write_text(json.dumps(parameters) + "\n")
    (FUNCTIONS / "forecast" / "sample.json").write_bytes((HERE / "forecast.json").read_bytes())


if __name__ == "__main__":
    main()

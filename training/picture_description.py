"""What others have to know of a classifier of photos: its labels, its picture, its names.

`model.toml` is for functions and commands, `params.json` for servers that speak TFaaS' way.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from gpfn.images.preparation import ImageInput

__all__ = ["LABELS", "MODEL", "write_description"]

MODEL, LABELS = "model.tflite", "labels.txt"
SOURCE, RESULT = "image", "probabilities"

_MODEL_TOML = """\
title = "Which of {count} classes a photo shows"
source = "gpfn train images, on {base}"
model = "{model}"
labels = "{labels}"
signature.inputs.{source} = {{ dtype = "uint8", shape = [-1, {height}, {width}, 3] }}
signature.outputs.{result} = {{ dtype = "float32", shape = [-1, {count}] }}

# The bytes of the resized picture as they are: their scaling is part of the model.
[image]
height = {height}
width = {width}
channels = "{channels}"
layout = "{layout}"
quantised = true
fit = "{fit}"
"""


def write_description(folder: Path, classes: Sequence[str], image: ImageInput, base: str) -> None:
    """Write labels.txt, model.toml and params.json, beside the model in ``folder``.

    ``base`` is what its features come from. params.json says no name: whoever uploads it has one.
    """
    (folder / LABELS).write_text("".join(f"{each}\n" for each in classes), encoding="utf-8")
    own = {"model": MODEL, "labels": LABELS, "source": SOURCE, "result": RESULT, "base": base}
    described = _MODEL_TOML.format(**image._asdict(), **own, count=len(classes))
    (folder / "model.toml").write_text(described, encoding="utf-8")
    keys = ("height", "width", "channels", "layout", "quantised", "fit")
    params = {
        "model": MODEL,
        "labels": LABELS,
        "inputNode": SOURCE,
        "outputNode": RESULT,
        "image": {key: getattr(image, key) for key in keys},
    }
    (folder / "params.json").write_text(json.dumps(params, indent=2) + "\n", encoding="utf-8")

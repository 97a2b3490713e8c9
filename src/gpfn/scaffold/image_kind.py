"""Functions of images: what of a model is an image's tensor, and a picture to send to it.

What the file does not tell (what training did to the bytes) stands in the code with a word
on it, unless a model.toml beside the model has it.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gpfn.scaffold.samples import SampleEvent, sample_arrays
from gpfn.scaffold.spelling import literal

if TYPE_CHECKING:
    from gpfn.scaffold.source import FoundModel

__all__ = ["image_parts", "image_sample", "no_image"]

_DEPTHS = (1, 3)
_LARGEST = 4096
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXACT = 1e-3
"""How far from 1 the sum of probabilities may be."""


class _Shape(NamedTuple):
    height: int
    width: int
    depth: int
    first: bool
    """Whether the channels come before the sides."""


def no_image(source: FoundModel) -> str:
    """Return why a model is no classifier of images, and what to do; nothing when it is."""
    if len(source.inputs) != 1 or _shape(source) is None:
        return "image is for one input (n, height, width, 3), or (n, 3, height, width); take arrays"
    dtype = source.inputs[0].dtype
    if dtype not in ("uint8", "float32"):
        return f"image is for models of uint8 or float32, and this one takes {dtype}; take arrays"
    if not source.labels:
        return "image needs the names of the classes: put labels.txt beside the model, one a line"
    return _misfit_of_labels(source)


def _misfit_of_labels(source: FoundModel) -> str:
    from gpfn.models.labels import read_labels

    count = len(read_labels(source.files[source.labels]))
    classes = (source.outputs[0].shape or (None,))[-1]
    if classes is None or classes == count:
        return ""
    return f"{source.labels} has {count} names, and the model has {classes} classes"


def _shape(source: FoundModel) -> _Shape | None:
    """Return how an image lies in the model's input; None when it is none."""
    shape = source.inputs[0].shape or ()
    if len(shape) != 4:
        return None
    _, one, two, three = shape
    first = one in _DEPTHS and three not in _DEPTHS
    depth, height, width = (one, two, three) if first else (three, one, two)
    if depth not in _DEPTHS or not all(s and s <= _LARGEST for s in (height, width)):
        return None
    return _Shape(height or 0, width or 0, depth or 0, first)


def image_parts(source: FoundModel) -> Mapping[str, str]:
    """Return the arguments of the Classifier: none where model.toml says it all."""
    if source.description is not None and source.description.image is not None:
        return {"imported": "Classifier", "said": ""}
    shape = _shape(source)
    assert shape is not None, "it fits"  # noqa: S101 - no_image has looked
    lines = [f"labels={literal(source.labels)},", "input=ImageInput(",
             f"    size=({shape.height}, {shape.width}),"]  # fmt: skip
    if source.inputs[0].dtype != "uint8":
        lines += ["    # what training did to a byte: (byte - mean) / std, here 0 to 1",
                  "    mean=0,", "    std=255,"]  # fmt: skip
    where = "first" if shape.first else "last"
    if shape.depth == 1:
        lines += ['    channels="L",', f'    layout="{"NCHW" if shape.first else "NHWC"}",']
    else:
        lines.append(f'    channels="{where}",')
    lines += ['    crop="center",', "),"]
    if not _gives_probabilities(source):
        lines.append("softmax=True,  # it gives logits")
    said = "".join(f"\n        {line}" for line in lines)
    return {"imported": "Classifier, ImageInput", "said": said}


def _gives_probabilities(source: FoundModel) -> bool:
    """Ask the model: what it gives for a sample adds up to 1, or is quantised."""
    name = source.outputs[0].name
    scores = source.model(sample_arrays(source.model))[name]
    if scores.dtype.kind != "f":
        return True
    return bool(scores.min() >= 0 and abs(float(scores.reshape(-1).sum()) - 1) < _EXACT)


def image_sample(source: FoundModel) -> SampleEvent:
    """Return a picture of the model's size in base64, as a caller would send one."""
    shape = _shape(source)
    assert shape is not None, "it fits"  # noqa: S101 - no_image has looked
    picture = base64.b64encode(_png(shape.height, shape.width)).decode()
    return SampleEvent({"image": picture})


def _png(height: int, width: int) -> bytes:
    """Return a PNG of shades of grey."""
    lines = (bytes([0, *((x + y) % 256 for x in range(width))]) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )

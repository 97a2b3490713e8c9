"""Make a channels-first ONNX model in floats of the quantised MobileNet v2.

The integers of the .tflite become the real numbers that they stand for, a picture lies plane
by plane, (N, 3, 224, 224), and N is open. Both models are asked the same pictures before the
new one gets its place.
"""

import argparse
import importlib.util
import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from float_graph import convert
from outcome import ROOT
from staging import staging

from gpfn.errors import GpfnError, MissingExtra, SetupError
from gpfn.images.preparation import ImageInput, prepare
from gpfn.limits import Limits
from gpfn.models import Model, open_model
from gpfn.models.catalogue import default_catalogue
from gpfn.models.description import FILE_NAME, Description, read_description
from gpfn.models.store import obtain, obtain_model

__all__ = ["DRAWN_APART", "PHOTOS_APART", "ROWS_APART", "main", "make"]

ORIGINAL, NAME = "mobilenet_v2", "mobilenet_v2_nchw"
SOURCE, RESULT = "image", "probabilities"

DRAWN_APART = 0.05
"""How far a probability may be from the original's for our own pictures.

0.024 was measured. A swap of red and blue, of height and width, of left and right, or
another scale gives 0.09 to 0.5.
"""

PHOTOS_APART = 0.15
"""The same for photos; the best class has to agree as well.

The original rounds to 8 bits after every layer, and is the less exact one of the two. 0.004
to 0.070 was measured for three photos, and 0.12 at most for 90 random cuts out of them.
"""

ROWS_APART = 1e-6
"""How far a row of a batch may be from the same row alone.

None was measured, bit for bit. A processor that adds up in another order may differ in the
last bit of a float32, which is 6e-8 of a probability near 1.
"""

_BATCHES = (1, 2, 5)
_DRAWN, _SQUARES, _SEED = 8, 14, 1

_EXAMPLES = """\
examples:
  python training/mobilenet_nchw.py
  python training/mobilenet_nchw.py --sample burger.jpg mug.png
  python training/mobilenet_nchw.py --model mobilenet_v2_1.0_224_quant.tflite --out build/nchw
"""

_DESCRIPTION = """\
title = "MobileNet v2 1.0, {height}x{width}, floats, channels first; {classes} ImageNet classes"
licence = "{licence}"
source = "training/mobilenet_nchw.py, from {source}"
model = "{name}.onnx"
labels = "{labels}"
signature.inputs.{input} = {{ dtype = "float32", shape = [-1, 3, {height}, {width}] }}
signature.outputs.{output} = {{ dtype = "float32", shape = [-1, {classes}] }}

[image]
height = {height}
width = {width}
channels = "{channels}"
layout = "NCHW"
quantised = false
fit = "{fit}"
# From the original's input: its zero point is the mean, and 1 / its scale the std.
mean = {mean}
std = {std}
"""


class _Picture(NamedTuple):
    """An image file, and whether it is a photo or was drawn here."""

    name: str
    data: bytes
    photo: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        files = make(args.model, args.out, args.sample)
    except (GpfnError, OSError) as error:
        print(f"mobilenet_nchw: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print("wrote", *(f"  {file}" for file in files), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # The copy in an installed package must not write beside itself.
    top = ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        default=top / "models" / "made" / NAME,
        help=f"folder to write to (default: models/made/{NAME} in the checkout, else here)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help=f"the quantised .tflite (default: the catalogue's {ORIGINAL}, fetched if need be)",
    )
    about = "photos for which both models have to give the same best class"
    parser.add_argument(
        "--sample", type=Path, metavar="FILE", nargs="+", action="extend", default=[], help=about
    )
    return parser


def make(model: Path | None, out: Path, samples: Sequence[Path] = ()) -> list[Path]:
    """Convert ``model``, check what comes out, and write it to ``out``; returns the files.

    Without a ``model`` it is the catalogue's. ``samples`` are photos to check with besides
    our own pictures. When anything fails ``out`` stays as it was. Raises GpfnError, OSError.
    """
    _look_for_libraries()
    entry = default_catalogue().get(ORIGINAL)
    tflite = model or obtain_model(entry)
    pictures = [*_drawn(), *(_Picture(path.name, path.read_bytes(), True) for path in samples)]
    _say(f"asking {tflite.name}")
    original = _opened(tflite, entry)
    expected = _answers(original, _prepared(pictures, entry.image))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(_labels(model, entry), folder / entry.labels.name)
        (folder / FILE_NAME).write_text(_described(original, entry), encoding="utf-8")
        _say("converting it with tf2onnx")
        taken = original.inputs[0].name
        convert(tflite, folder / f"{NAME}.onnx", taken=taken, source=SOURCE, result=RESULT)
        _say("asking the new model")
        _check(folder, pictures, expected)
        with staging(out) as place:
            shutil.copytree(folder, place, dirs_exist_ok=True)
        return [out / made.name for made in sorted(folder.iterdir())]


def _look_for_libraries() -> None:
    for package in ("tensorflow", "tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "train")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _drawn() -> list[_Picture]:
    """Return pictures of coloured squares, always the same: a check that needs no file."""
    from PIL import Image

    chance = np.random.default_rng(_SEED)
    pictures = []
    for number in range(1, _DRAWN + 1):
        squares = chance.integers(0, 256, (_SQUARES, _SQUARES, 3), np.uint8)
        side = 224 // _SQUARES
        file = io.BytesIO()
        Image.fromarray(squares.repeat(side, 0).repeat(side, 1)).save(file, "png")
        pictures.append(_Picture(f"drawn-{number}", file.getvalue(), False))
    return pictures


def _opened(tflite: Path, entry: Description) -> Any:
    """Open the original. Raises SetupError for a model of another kind than the catalogue's."""
    model = open_model(tflite)
    found = [(spec.dtype, spec.shape) for spec in (*model.inputs, *model.outputs)]
    sides = entry.signature
    wanted = [(spec.dtype, spec.shape) for spec in (*sides.inputs, *sides.outputs)]
    if found != wanted or not getattr(model, "input_quantization", {}):
        raise SetupError(f"expected a model like {entry.model.name}: {tflite}", field="--model")
    return model


def _prepared(pictures: Sequence[_Picture], spec: ImageInput) -> np.ndarray:
    """Return one row for each picture, as the model with this input takes them."""
    most = Limits.from_env().pixels
    rows = [prepare(each.data, spec, most, field=each.name) for each in pictures]
    return np.concatenate(rows)


def _answers(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return the probabilities (rows, classes) as float32, of a quantised model too."""
    result = model.outputs[0].name
    given = model({model.inputs[0].name: rows})[result]
    quantization = getattr(model, "quantization", {}).get(result)
    return given if quantization is None else quantization.dequantize(given)


def _labels(model: Path | None, entry: Description) -> Path:
    """Return the file of labels: the one beside a given model, or the catalogue's."""
    beside = model.parent / entry.labels.name if model else Path()
    return beside if beside.is_file() else obtain(entry.labels)


def _described(original: Any, entry: Description) -> str:
    """Return the text of ``model.toml``.

    A byte stands for ``scale * (byte - zero point)`` in the original, and a model of floats
    takes ``(byte - mean) / std``.
    """
    (quantization,) = original.input_quantization.values()
    return _DESCRIPTION.format(
        name=NAME,
        input=SOURCE,
        output=RESULT,
        licence=entry.licence,
        source=entry.source,
        labels=entry.labels.name,
        classes=original.outputs[0].shape[-1],
        height=entry.image.height,
        width=entry.image.width,
        channels=entry.image.channels,
        fit=entry.image.fit,
        mean=[float(quantization.zero_point[0])] * 3,
        std=[1 / float(quantization.scale[0])] * 3,
    )


def _check(folder: Path, pictures: Sequence[_Picture], expected: np.ndarray) -> None:
    """Compare the new model with the original's answers. Raises SetupError."""
    described = read_description(folder / FILE_NAME)
    model = open_model(folder / described.model.name)
    rows = _prepared(pictures, described.image)
    found = _answers(model, rows)
    apart = np.abs(found - expected).max(axis=1)
    # The original's steps are coarse: two classes may be its best.
    same = expected[np.arange(len(rows)), found.argmax(axis=1)] == expected.max(axis=1)
    for picture, far, agrees in zip(pictures, apart, same, strict=True):
        _check_picture(picture, far, agrees)
    _check_batches(model, rows[: max(_BATCHES)])
    _say(f"largest difference {apart.max():.4f}, same best class for {same.sum()} of {len(same)}")


def _check_picture(picture: _Picture, far: float, agrees: bool) -> None:
    _say(f"  {picture.name}: {far:.4f} apart, {'same' if agrees else 'another'} best class")
    most = PHOTOS_APART if picture.photo else DRAWN_APART
    if not far <= most:  # a NaN is apart too
        raise SetupError(f"{far:.4f} from the original, over {most}", field=picture.name)
    if picture.photo and not agrees:
        raise SetupError("another best class than the original's", field=picture.name)


def _check_batches(model: Model, rows: np.ndarray) -> None:
    """Raise SetupError when rows together get other answers than alone."""
    alone = np.concatenate([_answers(model, row[None]) for row in rows])
    for count in _BATCHES:
        apart = float(np.abs(_answers(model, rows[:count]) - alone[:count]).max())
        if not apart <= ROWS_APART:
            raise SetupError(f"{apart} from the rows alone", field=f"batch of {count}")


if __name__ == "__main__":
    raise SystemExit(main())

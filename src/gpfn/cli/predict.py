"""``gpfn predict``: a model's outputs for arrays, rows, pictures or texts, without a function."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.given import (
    Given,
    add_rows,
    add_texts,
    file_limits,
    given_inputs,
    prepared_pictures,
    read_file,
)
from gpfn.cli.options import add_signature, parse_threads, whole
from gpfn.errors import BackendTimeout, CannotConnect, InvalidTensor, SetupError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.columns import Column
    from gpfn.models.description import Description
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "read_inputs", "run"]

SUMMARY = "compute a model's outputs for arrays, rows, pictures or texts"
EXAMPLES = """
gpfn predict digits --image ce_samples/digit-7.png
gpfn predict iris.onnx --row length=5.1 width=3.5 --row length=6.2 width=2.9
gpfn predict iris.onnx --csv rows.csv --json
gpfn predict models/forecast.tflite --input windows.npy --output forecast.npy
gpfn predict forecast --input windows.json
gpfn predict http://127.0.0.1:9000 --input a=a.npy --input b=b.npy --json
gpfn predict http://127.0.0.1:9000/digits@stable --input rows.csv
"""

_CSV = ".csv"
_MEDIA = {".npy": "application/x-npy", ".json": "application/json"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model, its inputs and where the outputs go."""
    parser.add_argument("model", metavar="MODEL", help="a file, a folder, a name, a URL, or "
                        "URL/NAME[@TAG] of a model server")  # fmt: skip
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--input", action="append", metavar="[NAME=]FILE", help="a .npy, .json or "
                       ".csv file, or - for JSON on stdin; once for each of the model's inputs, "
                       "or once for all of them")  # fmt: skip
    add_rows(given)
    given.add_argument("--image", action="append", metavar="FILE", help="a picture, prepared as "
                       "the catalogue or model.toml says; once a picture")  # fmt: skip
    add_texts(given)
    parser.add_argument("--output", metavar="FILE", help="a .npy or .json file, or - for JSON on "
                        "stdout (default: for people, or JSON where --input goes to no "
                        "terminal)")  # fmt: skip
    parser.add_argument("--top", type=whole(1), default=5, metavar="N", help="classes that are "
                        "shown (default: 5)")  # fmt: skip
    parser.add_argument(
        "--outputs",
        default="",
        metavar="NAMES",
        help="names of outputs, with commas (default: all)",
    )
    add_signature(parser)
    token = "a token of the model server (default: $GPFN_TOKEN)"  # noqa: S105 - help, no token
    parser.add_argument("--token", default="", help=token)
    parser.add_argument("--threads", default="auto", help="a number, or auto (the default)")
    parser.add_argument(
        "--vet", action="store_true", help="try the model in a process of its own first"
    )
    parser.add_argument(
        "--json", action="store_true", help="names, shapes and dtypes beside the numbers"
    )


def run(args: argparse.Namespace) -> int:
    """Read, compute, write."""
    from gpfn.cli.resolve import model_uri
    from gpfn.models.open import open_with_token, with_signature
    from gpfn.secrets import read_setting

    target = args.output or "-"
    suffix = "" if target == "-" else Path(target).suffix
    if suffix not in ("", *_MEDIA) or (target != "-" and not suffix):
        raise SetupError("expected a .npy or .json file, or -", field="--output")
    token = args.token or read_setting("GPFN_TOKEN")
    found = _described(args.model)
    uri = with_signature(model_uri(args.model, token), args.signature)
    threads = parse_threads(args.threads)
    if args.vet:
        from gpfn.models.vet import vet_model

        vet_model(uri, threads=threads)
    model = open_with_token(uri, threads=threads, token=token)
    try:
        answer = _classified(args, model, found) or _computed(args, model, found)
        if args.output or args.json or (args.input and not sys.stdout.isatty()):
            _write(_encoded(model, answer.outputs, suffix, described=args.json), target)
        else:
            _show(args, model, found, answer)
    except (CannotConnect, BackendTimeout) as error:
        told = f"{error.detail}; start the server, or correct the address"
        raise type(error)(told, field=error.field) from error
    finally:
        model.close()
    return 0


def _described(name: str) -> "Description | None":
    """Return what is known of a model by its name or beside its file."""
    from gpfn.cli.described import description_of
    from gpfn.models.open import split_uri

    return None if "://" in name else description_of(split_uri(name)[0])


class _Answer(NamedTuple):
    """Outputs by name; ``classes`` are those of pictures that were classified."""

    outputs: "Mapping[str, np.ndarray[Any, Any]]"
    classes: Mapping[str, Sequence[object]] | None = None


def _classified(
    args: argparse.Namespace, model: "Model", found: "Description | None"
) -> _Answer | None:
    """Return the probabilities of pictures as a `Classifier` tells them, where it would.

    Of other outputs, which somebody asks for by ``--outputs``, the model's numbers are told.
    """
    if not args.image:
        return None
    from gpfn.cli.described import image_classifier
    from gpfn.models.open import split_uri

    known = image_classifier(split_uri(args.model)[0], model, found)
    if known is None:
        return None
    rows = prepared_pictures(args.image, known.input)
    names = _names(args)
    if {*names} <= {known.target}:
        return _Answer({known.target: known.run(model, rows)}, {known.target: known.labels})
    return _Answer(model(known.feed(model, rows), outputs=names))


def _computed(args: argparse.Namespace, model: "Model", found: "Description | None") -> _Answer:
    given = _given(args, model, found)
    for line in given.assumed:
        print(f"gpfn: {line}", file=sys.stderr)
    return _Answer(model(given.arrays, outputs=_names(args)))


def _names(args: argparse.Namespace) -> list[str]:
    return [name for name in args.outputs.split(",") if name]


def _given(args: argparse.Namespace, model: "Model", found: "Description | None") -> Given:
    if args.input:
        declared = () if found is None else found.columns
        return Given(read_inputs(args.input, model.inputs, declared))
    columns = bool(getattr(model, "takes_columns", False))
    if columns and args.image:
        told = "it prepares pictures itself: gpfn tfaas --url URL --image FILE --model NAME"
        raise SetupError(told, field="--image")
    return given_inputs(args, model.inputs, found, columns=columns)


def _show(
    args: argparse.Namespace,
    model: "Model",
    found: "Description | None",
    answer: _Answer,
) -> None:
    """Print the outputs for people: numbers that stand for others as those."""
    from gpfn.cli.answer import print_answer
    from gpfn.cli.described import class_names

    outputs = answer.outputs
    if answer.classes is not None:
        print_answer(outputs, answer.classes, best=args.top)
        return
    quantised = getattr(model, "quantization", {})
    shown = {
        name: quantised[name].dequantize(array) if name in quantised else array
        for name, array in outputs.items()
    }
    kinds = "fiu" if args.image else "f"  # whole numbers of other models mostly stand for others
    widths = {
        name: prod(array.shape[1:]) for name, array in shown.items() if array.dtype.kind in kinds
    }
    classes = class_names(model, found, widths)
    if args.image and not classes:  # what sees a picture mostly tells classes
        classes = {name: range(array.shape[-1]) for name, array in shown.items() if array.ndim == 2}
    print_answer(shown, classes, best=args.top)


def read_inputs(
    arguments: Sequence[str], specs: Sequence["TensorSpec"], declared: Sequence["Column"] = ()
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return the arrays of ``[NAME=]FILE`` arguments by their names.

    ``declared`` are the columns of the model's ``model.toml``, which CSV for all inputs has.
    Raises SetupError for a file that cannot be read, InvalidTensor for one that does not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        if equals and name in by_name:
            found = _read(file, [by_name[name]], ())
        else:
            found = _read(argument, specs, declared)
        for key, array in found.items():
            if key in arrays:
                raise InvalidTensor("given twice", field=key)
            arrays[key] = array
    return arrays


def _read(
    file: str, specs: Sequence["TensorSpec"], declared: Sequence["Column"]
) -> dict[str, "np.ndarray[Any, Any]"]:
    from gpfn.tensors.codec import decode_bytes

    suffix = ".json" if file == "-" else Path(file).suffix
    if suffix not in (_CSV, *_MEDIA):
        raise SetupError(f"expected a .npy, .json or .csv file, got {file!r}", field="--input")
    limits = file_limits()
    data = read_file(file, "--input", limits)
    if suffix == _CSV:
        from gpfn.cli.csv_rows import read_csv

        return read_csv(data, specs, limits, path=file, declared=declared)
    return decode_bytes(data, _MEDIA[suffix], specs, limits, path=file)


def _encoded(
    model: "Model",
    outputs: Mapping[str, "np.ndarray[Any, Any]"],
    suffix: str,
    *,
    described: bool,
) -> bytes:
    from gpfn.tensors.codec import encode

    if suffix == ".npy":
        return encode(outputs, _MEDIA[suffix]).body
    if not described:
        return encode(outputs, _MEDIA[".json"]).body + b"\n"
    import orjson

    from gpfn.tensors.codec import open_inference_outputs

    document = {
        "model": model.name,
        "backend": model.backend,
        "outputs": open_inference_outputs(outputs),
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _write(data: bytes, output: str) -> None:
    if output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise SetupError(f"cannot write {output}: {error.strerror}", field="--output") from error

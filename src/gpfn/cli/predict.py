"""``gpfn predict``: a model's outputs for arrays in files, without a function around it."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gpfn.cli.options import parse_threads
from gpfn.errors import InvalidTensor, SetupError
from gpfn.limits import Limits

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "read_inputs", "run"]

SUMMARY = "compute a model's outputs for arrays in .npy, .json or .csv files"
EXAMPLES = """
gpfn predict models/forecast.tflite --input windows.npy --output forecast.npy
gpfn predict forecast --input windows.json
gpfn predict http://127.0.0.1:9000 --input a=a.npy --input b=b.npy --json
gpfn predict http://127.0.0.1:9000/digits@stable --input rows.csv
"""

_CSV = ".csv"
_MEDIA = {".npy": "application/x-npy", ".json": "application/json"}
_LIMITS = {"body_bytes": 2 << 30, "elements": 1 << 29, "string_bytes": 1 << 28}
"""For the user's own files, which may be larger than a caller's requests."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model, its inputs and where the outputs go."""
    parser.add_argument("model", metavar="MODEL", help="a file, a folder, a name, a URL, or "
                        "URL/NAME[@TAG] of a model server")  # fmt: skip
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help="a .npy, .json or .csv file, or - for JSON on stdin; once for each of the "
        "model's inputs, or once for all of them",
    )
    parser.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help="a .npy or .json file, or - for JSON on stdout (the default)",
    )
    parser.add_argument(
        "--outputs",
        default="",
        metavar="NAMES",
        help="names of outputs, with commas (default: all)",
    )
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

    suffix = "" if args.output == "-" else Path(args.output).suffix
    if suffix not in ("", *_MEDIA) or (args.output != "-" and not suffix):
        raise SetupError("expected a .npy or .json file, or -", field="--output")
    token = args.token or os.environ.get("GPFN_TOKEN", "")
    uri, threads = model_uri(args.model, token), parse_threads(args.threads)
    if args.vet:
        from gpfn.models.vet import vet_model

        vet_model(uri, threads=threads)
    model = _opened(uri, threads, token)
    try:
        inputs = read_inputs(args.input, model.inputs)
        outputs = model(inputs, outputs=[name for name in args.outputs.split(",") if name])
        _write(_encoded(model, outputs, suffix, described=args.json), args.output)
    finally:
        model.close()
    return 0


def _opened(uri: str, threads: int | Literal["auto"], token: str) -> "Model":
    """Open a model; one behind a server of the Open Inference Protocol is asked with the token."""
    from gpfn.models.open import backend_of, open_model

    if token and backend_of(uri).kind == "oip":
        from gpfn.models.oip import InferenceModel

        return InferenceModel(uri, headers={"Authorization": f"Bearer {token}"})
    return open_model(uri, threads=threads)


def read_inputs(
    arguments: Sequence[str], specs: Sequence["TensorSpec"]
) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return the arrays of ``[NAME=]FILE`` arguments by their names.

    Raises SetupError for a file that cannot be read, InvalidTensor for one that does not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        wanted = [by_name[name]] if equals and name in by_name else specs
        for key, array in _read(file if equals and name in by_name else argument, wanted).items():
            if key in arrays:
                raise InvalidTensor("given twice", field=key)
            arrays[key] = array
    return arrays


def _read(file: str, specs: Sequence["TensorSpec"]) -> dict[str, "np.ndarray[Any, Any]"]:
    from gpfn.tensors.codec import decode_bytes

    suffix = ".json" if file == "-" else Path(file).suffix
    if suffix not in (_CSV, *_MEDIA):
        raise SetupError(f"expected a .npy, .json or .csv file, got {file!r}", field="--input")
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}", field="--input") from error
    limits = Limits.from_env(os.environ, **_LIMITS)
    if suffix == _CSV:
        from gpfn.cli.csv_rows import read_csv

        return read_csv(data, specs, limits, path=file)
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

"""``gpfn convert``: a model of another framework as one that is run here, with the proof."""

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from gpfn.cli.commands import USAGE
from gpfn.cli.ending import raise_at
from gpfn.cli.options import between, seconds, whole
from gpfn.errors import ModelRefused, SetupError, escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpfn.convert.converting import Conversion, Report
    from gpfn.convert.samples import Arrays
    from gpfn.tensors.spec import TensorSpec

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = (
    "turn a model of Keras, PyTorch, scikit-learn, XGBoost or LightGBM into one that runs here"
)
EXAMPLES = """
gpfn convert circle.keras -o circle.tflite
gpfn convert rent.joblib -o rent.onnx --trust --sample rows.csv
gpfn convert trees.ubj -o trees.onnx --tolerance 1e-6 --json
gpfn convert model.pt2 -o model.onnx
gpfn convert nets:make --state weights.pt --sample rows.npy -o model.onnx
gpfn convert saved/ -o graph.pb --force
gpfn convert --list
gpfn convert --remove torch
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model, the output, and what is asked of both sides."""
    flag = parser.add_argument
    flag("model", nargs="?", default="", metavar="MODEL", help=".keras, .h5, a SavedModel's "
         "folder, .pt2, .joblib, .pkl, .json, .ubj, .txt, or module:factory of PyTorch, in this "
         "folder")  # fmt: skip
    flag("-o", "--output", default="", metavar="OUT", help="model.onnx, model.tflite, graph.pb, "
         "or a folder for a SavedModel")  # fmt: skip
    flag("--sample", action="append", metavar="[NAME=]FILE", help="rows that both sides are asked: "
         ".npy, .json or .csv, once for each input or for all (default: random)")  # fmt: skip
    flag("--tolerance", type=between(0, 1, closed=True), default=1e-5, metavar="N", help="largest "
         "difference that is let pass, relative above 1 (default: 1e-5)")  # fmt: skip
    flag("--seed", type=whole(), default=1, metavar="N", help="of random samples (default: 1)")
    flag("--trust", action="store_true", help="let a pickle or a Lambda layer run its code, in a "
         "process of its own")  # fmt: skip
    flag("--state", default="", metavar="FILE", help="weights for what module:factory makes")
    flag("--with", dest="extra", choices=("litert-torch",), default="", help="how PyTorch becomes "
         "LiteRT; takes 6.4 GB")  # fmt: skip
    flag("--python", default="", metavar="FILE", help="a Python that has the framework and its "
         "converter, in the place of an environment of gpfn's")  # fmt: skip
    flag("--timeout", type=seconds, default=600.0, metavar="SECONDS", help="for converting and "
         "asking (default: 10m)")  # fmt: skip
    flag("--memory", type=whole(256), default=8192, metavar="MB", help="for the converter "
         "(default: 8192)")  # fmt: skip
    flag("--force", action="store_true", help="write over what is there")
    flag("--list", action="store_true", help="list the environments, and what they take")
    flag("--prepare", action="append", metavar="NAME", help="make an environment now: keras, "
         "trees, torch or litert-torch")  # fmt: skip
    flag("--remove", action="append", metavar="NAME", help="remove an environment")
    flag("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Convert, or look after the environments; 1 when both sides do not agree."""
    raise_at(signal.SIGTERM)
    if args.list or args.prepare or args.remove:
        from gpfn.cli.convert_environments import look_after

        return look_after(args)
    if not args.model or not args.output:
        missing = "MODEL and -o OUT" if not args.model else "-o OUT"
        print(f"gpfn convert: give {missing}; gpfn convert --help has the rest", file=sys.stderr)
        return USAGE
    order = _order(args)
    report = _converted(order, args)
    warnings = report.facts.get("warnings")
    for line in warnings if isinstance(warnings, list) else ():
        print(f"gpfn: {escaped(str(line)):.300}", file=sys.stderr)
    from gpfn.cli.convert_table import print_report, report_document

    if args.json:
        import json

        print(json.dumps(report_document(order, report), indent=2, ensure_ascii=False))
    else:
        print_report(order, report)
    if report.refusal:
        told = f"{order.output} is not written: {report.refusal}; --tolerance lets more pass"
        raise ModelRefused(told)
    if not report.described:
        told = "no model.toml is written: one is there (--force renews that of the same model), "
        told += "or the model's name cannot stand in one"
        print(f"gpfn: {told}", file=sys.stderr)
    return 0


def _order(args: argparse.Namespace) -> "Conversion":
    from gpfn.convert.converter import Allowance
    from gpfn.convert.converting import Conversion
    from gpfn.convert.sources import find_source, find_target

    source = find_source(args.model)
    return Conversion(
        source=source,
        target=find_target(args.output, source),
        output=args.output.rstrip("/") or args.output,
        trust=args.trust,
        state=args.state,
        examples=_examples(args) if source.name in ("torch_module", "torch_pickle") else (),
        extra=args.extra,
        python=args.python,
        tolerance=args.tolerance,
        seed=args.seed,
        force=args.force,
        bounds=Allowance(args.timeout, args.memory << 20),
    )


def _examples(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the files that a module of PyTorch is exported with."""
    files = [_file_of(word) for word in args.sample or ()]
    for file in files:
        if not file.endswith(".npy"):
            raise SetupError(f"PyTorch takes .npy files, got {file}", field="--sample")
    return tuple(files)


def _file_of(word: str) -> str:
    import os

    return word if os.path.exists(word) else word.partition("=")[2] or word


def _converted(order: "Conversion", args: argparse.Namespace) -> "Report":
    from gpfn.cli.convert_environments import environment_progress
    from gpfn.convert.converting import check_order, convert

    name = check_order(order)

    def read(specs: "Sequence[TensorSpec]") -> "Arrays":
        return _read(args.sample, specs)

    with environment_progress("" if order.python else name) as progress:
        return convert(order, read=read if args.sample else None, progress=progress)


def _read(words: "Sequence[str]", specs: "Sequence[TensorSpec]") -> "dict[str, Any]":
    """Return the samples; files without names are those of the inputs in order."""
    from gpfn.cli.predict import read_inputs

    names = {spec.name for spec in specs}
    if len(words) == len(specs) > 1 and not any(word.partition("=")[0] in names for word in words):
        pairs = zip(specs, words, strict=True)
        words = [f"{spec.name}={_file_of(word)}" for spec, word in pairs]
    try:
        return read_inputs(words, specs)
    except SetupError as error:
        field = "--sample" if error.field == "--input" else error.field
        raise SetupError(error.detail, field=field) from error

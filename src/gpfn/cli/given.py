"""What a model or a function is given on the command line: rows, a CSV file, pictures, texts.

One kind at a time: argparse refuses two. Files are bounded before they are read.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import InvalidTensor, SetupError, TooLarge
from gpfn.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from gpfn.cli.columns import TextRows
    from gpfn.images.preparation import ImageInput
    from gpfn.models.description import Description
    from gpfn.tensors.spec import TensorSpec

    _Arrays = dict[str, np.ndarray[Any, Any]]

__all__ = [
    "Given",
    "add_rows",
    "add_texts",
    "file_limits",
    "given_inputs",
    "given_rows",
    "prepared_pictures",
    "read_file",
]

_SIZES = {"body_bytes": 2 << 30, "elements": 1 << 29, "string_bytes": 1 << 28}
"""For the user's own files, which may be larger than a caller's requests."""


class Given(NamedTuple):
    """The arrays by input, and what was assumed about them, a line each."""

    arrays: _Arrays
    assumed: tuple[str, ...] = ()


def add_rows(parser: argparse._ActionsContainer) -> None:
    """Declare ``--row`` and ``--csv``."""
    parser.add_argument("--row", nargs="+", action="append", metavar="NAME=VALUE", help="a row by "
                        "its columns; once a row")  # fmt: skip
    parser.add_argument("--csv", metavar="FILE", help="a line is a row, the first one has the "
                        "columns' names; - for standard input")  # fmt: skip


def add_texts(parser: argparse._ActionsContainer) -> None:
    """Declare ``--text``."""
    parser.add_argument("--text", action="append", help="a text; once a text")


def file_limits() -> Limits:
    """Return the bounds on files that the user names, with what the environment overrides."""
    return Limits.from_env(os.environ, **_SIZES)


def read_file(path: str, option: str, limits: Limits) -> bytes:
    """Return a file's bytes, or those of standard input for ``-``.

    Raises SetupError for one that cannot be read, TooLarge for one over the limit on bodies.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read(limits.body_bytes + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(limits.body_bytes + 1)
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}", field=option) from error
    if len(data) > limits.body_bytes:
        told = f"{path} has more than {limits.body_bytes} bytes (GPFN_MAX_BODY_BYTES)"
        raise TooLarge(told, field=option)
    return data


def given_rows(args: argparse.Namespace, known: Sequence[str]) -> TextRows:
    """Return the rows of ``--row`` or ``--csv``; ``known`` are names that columns may have.

    Raises SetupError, InvalidTensor or TooLarge, naming the option or file, row and column.
    """
    if args.row:
        from gpfn.cli.columns import rows_of_pairs

        return rows_of_pairs(args.row, path="--row")
    from gpfn.cli.csv_rows import read_rows

    limits = file_limits()
    data = read_file(args.csv, "--csv", limits)
    return read_rows(data, limits, path=args.csv, known=known)


def given_inputs(
    args: argparse.Namespace,
    specs: Sequence[TensorSpec],
    found: Description | None,
    *,
    columns: bool = False,
) -> Given:
    """Return the arrays of ``--row``, ``--csv``, ``--image`` or ``--text`` for a model's inputs.

    ``columns`` says that the model takes an array for each column of rows, whatever its name.

    Raises CallerError or SetupError, which say what to do.
    """
    if args.image:
        return _pictures(args.image, specs, found)
    if args.text:
        return Given(_texts(args.text, specs))
    from gpfn.cli.columns import fits_by_name, inputs_of_rows

    declared = () if found is None or columns else found.columns
    rows = given_rows(args, [*(spec.name for spec in specs), *(each.name for each in declared)])
    if columns and rows.names:
        from gpfn.tensors.spec import TensorSpec

        specs = [TensorSpec("float32", (None, 1), name) for name in rows.names]
    arrays = inputs_of_rows(rows, specs, file_limits(), declared)
    if not rows.names or declared or fits_by_name(rows.names, specs):
        return Given(arrays)
    names, place = ", ".join(rows.names), specs[0].name if specs else "the only input"
    return Given(arrays, (f"{names} are taken as the values of {place}, in this order",))


def _pictures(
    paths: Sequence[str], specs: Sequence[TensorSpec], found: Description | None
) -> Given:
    """Return the pictures as one batch of the input that takes them."""
    from gpfn.cli.described import picture_input
    from gpfn.models.image_model import as_input

    name, image, assumed = picture_input(specs, found)
    rows = prepared_pictures(paths, image)
    dtype = next(spec.dtype for spec in specs if spec.name == name)
    if image.quantised or dtype.startswith("float"):
        rows = as_input(rows, dtype, None)
    told = f"nothing says how a picture becomes {name}; taken as {assumed}"
    hint = "a model.toml beside the model can say it"
    return Given({name: rows}, (f"{told}; {hint}",) if assumed else ())


def prepared_pictures(paths: Sequence[str], image: ImageInput) -> np.ndarray[Any, Any]:
    """Return picture files as one batch. Raises InvalidImage, TooLarge or SetupError."""
    import numpy as np

    from gpfn.images.preparation import prepare

    limits = file_limits()
    tensors = [
        prepare(read_file(path, "--image", limits), image, limits.pixels, field=path)
        for path in paths
    ]
    return np.concatenate(tensors)


def _texts(texts: Sequence[str], specs: Sequence[TensorSpec]) -> _Arrays:
    from gpfn.cli.columns import TextRows, inputs_of_rows
    from gpfn.tensors.shapes import spec_text

    able = [spec for spec in specs if spec.dtype == "string"]
    if len(able) != 1:
        takes = ", ".join(f"{spec.name} {spec_text(spec)}" for spec in specs) or "nothing it tells"
        told = f"which input is a text? the model takes {takes}; name the inputs with --row"
        raise InvalidTensor(told, field="--text")
    places = [f"--text {at}" for at in range(1, len(texts) + 1)]
    rows = TextRows((), [[text] for text in texts], places, "--text", gaps=False)
    return inputs_of_rows(rows, able, file_limits())

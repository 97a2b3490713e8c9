"""What is known of a model besides its file: the format of ``model.toml``.

A ``model.toml`` beside a model file describes that file. A catalogue is a file of several
such descriptions, each under ``models.NAME``; there, everything that is needed to fetch a
model is required. The JSON Schema of both is ``docs/model.schema.json``.

A later part of gpfn that has something to say of a model adds a key: a line in
:func:`parse_description`, a field of `Description` and a property in the schema, which a
test compares with what is read here.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput
from gpfn.models.branches import BranchMapping, parse_branches
from gpfn.models.columns import Column, parse_classes, parse_columns
from gpfn.models.scoring import Scoring, parse_scoring
from gpfn.models.toml_table import Table, read_toml
from gpfn.tensors.spec import DTYPES, TensorSpec

__all__ = [
    "FILE_NAME",
    "Description",
    "ModelFile",
    "Serving",
    "Signature",
    "description_beside",
    "parse_description",
    "parse_image",
    "read_branches",
    "read_description",
]

FILE_NAME = "model.toml"
"""What a description is called that lies beside a model file."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\.py:[A-Za-z_][A-Za-z0-9_]*)?")
_SAMPLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.(json|npy)")
_URL = re.compile(r"https://[^\s/]+/\S*")
_BESIDE = "the name of a file beside it"
_IMAGE = (
    *("height", "width", "size", "channels", "layout", "quantised", "fit", "crop", "resize"),
    *("resample", "mean", "std", "unit"),
)


class ModelFile(NamedTuple):
    """A file of a model: one to be fetched from ``url``, or one that lies in ``folder``.

    ``sha256`` (64 hex digits) and ``size`` (bytes) are empty and 0 where nothing is said
    of them: our own small models have neither, because training makes them anew. An
    empty ``folder`` is the one of the catalogue that comes with gpfn.
    """

    name: str
    sha256: str = ""
    size: int = 0
    url: str = ""
    folder: str = ""


class Signature(NamedTuple):
    """What a model takes and gives, in the order of the file; a name, dtype and shape each."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class Serving(NamedTuple):
    """How a model server runs a model; None where the server's own default holds.

    ``max_batch`` is the most rows of one call, 0 and 1 are: never several. It declares as
    well that the answer for a row depends on that row alone, for a model whose signature
    has no batch axis, such as a Python function. ``max_delay`` is how long a request may
    wait for others to be called with, and ``timeout`` for its answer, both in seconds.
    ``replicas`` compute at once, each of them a process or a thread as ``processes`` says,
    with ``threads`` of its own; ``queue`` requests more may wait. ``warmup`` are files beside
    the description: samples that the model is called with before a request. ``keep``
    versions are served, the highest; ``tags`` are names for some of them, such as
    ``("stable", "3")``.
    """

    max_batch: int | None = None
    max_delay: float | None = None
    replicas: int | None = None
    processes: bool | None = None
    threads: int | None = None
    queue: int | None = None
    timeout: float | None = None
    warmup: tuple[str, ...] = ()
    keep: int | None = None
    tags: tuple[tuple[str, str], ...] = ()


class Description(NamedTuple):
    """A model: its files, where it comes from, and what it takes.

    ``function`` is the name in a Python file that is the model, empty for any other file.
    ``labels`` is a text file with one class name a line, in the order of the output.
    ``image`` is how an image becomes the input, ``scores`` how the output becomes
    probabilities, ``columns`` are those of rows, and ``classes`` the names of classes, which come
    before those of the ``labels``. ``branches`` say how an event of a ROOT file becomes the
    input. ``files`` has all files, the model first, then the labels.
    """

    name: str
    model: ModelFile
    files: tuple[ModelFile, ...]
    title: str = ""
    description: str = ""
    licence: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()
    labels: ModelFile | None = None
    signature: Signature | None = None
    image: ImageInput | None = None
    function: str = ""
    serving: Serving = Serving()
    columns: tuple[Column, ...] = ()
    classes: tuple[str, ...] = ()
    scores: Scoring | None = None
    branches: BranchMapping | None = None


def description_beside(model: str | os.PathLike[str]) -> Description | None:
    """Return what the ``model.toml`` beside a model says of it.

    A model is a file, a folder or, as ``PATH.py:NAME``, a function. None when there is no
    ``model.toml``, or when it describes another model. Raises SetupError, naming the key and
    the file, when it is wrong.
    """
    path = Path(model)
    beside = path.parent / FILE_NAME
    if not beside.is_file():
        return None
    found = read_description(beside)
    named = f"{found.model.name}:{found.function}" if found.function else found.model.name
    return found if named == path.name else None


def read_description(path: Path) -> Description:
    """Read a ``model.toml``; the model is called as its file is, without the suffix.

    Raises SetupError, naming the key and the file, when it is wrong.
    """
    table = read_toml(path)
    return parse_description("", table, folder=str(path.parent), complete=False)


def read_branches(path: Path) -> BranchMapping:
    """Read a file with a table ``branches`` and nothing else, or a ``model.toml`` that has one.

    Raises SetupError, naming the key and the file, when it is wrong or has no such table.
    """
    table = read_toml(path)
    if "model" in table:
        found = read_description(path).branches
    else:
        found = parse_branches(table)
        table.end()
    if found is None:
        told = 'there is no such table; it lists what the inputs are: inputs = ["Jet_pt[0:8]"]'
        raise table.wrong(told, "branches")
    return found


def parse_description(name: str, table: Table, *, folder: str, complete: bool) -> Description:
    """Return the description in a table; files without a URL lie in ``folder``.

    ``complete`` is what a catalogue has to be: a title, a licence and a source are there,
    files are listed, and those with a URL have their hash and size; ``folder`` says where the
    others lie, as seen from the catalogue. ``name`` may be empty
    outside of a catalogue. Raises SetupError.
    """
    if complete and (inner := table.text("folder", "")):
        folder = os.path.join(folder, inner)
    files = {
        key: _file(key, each, folder, complete=complete) for key, each in table.tables("files")
    }

    def listed(key: str, wanted: str) -> ModelFile | None:
        if complete and wanted and wanted not in files:
            raise table.wrong(f"files has no {wanted!r}", key)
        return files.setdefault(wanted, ModelFile(wanted, folder=folder)) if wanted else None

    form, told = (_NAME, _BESIDE) if complete else (_MODEL, f"{_BESIDE}, or FILE.py:FUNCTION")
    file, _, function = table.match("model", form, told).partition(":")
    model = listed("model", file)
    labels = listed("labels", table.match("labels", _NAME, _BESIDE, ""))
    assert model is not None  # noqa: S101 - it is never empty
    optional = None if complete else ""
    signature, image = table.optional("signature"), table.optional("image")
    serving, scores = table.optional("serving"), table.optional("scores")
    found = Description(
        name=name or os.path.splitext(model.name)[0],
        model=model,
        files=tuple(dict.fromkeys((model, *([labels] if labels else []), *files.values()))),
        title=table.text("title", optional),
        description=table.text("description", ""),
        licence=table.text("licence", optional),
        source=table.text("source", optional),
        aliases=table.matches("aliases", _NAME, "names"),
        labels=labels,
        signature=_signature(signature) if signature else None,
        image=parse_image(image) if image else None,
        function=function,
        serving=_serving(serving) if serving else Serving(),
        columns=parse_columns(table),
        classes=parse_classes(table),
        scores=parse_scoring(scores) if scores else None,
        branches=parse_branches(table),
    )
    table.end()
    return found


def _file(name: str, table: Table, folder: str, *, complete: bool) -> ModelFile:
    if not _NAME.fullmatch(name):
        raise table.wrong(f"{name!r} is no plain file name")
    url = table.match("url", _URL, "an https:// URL", "")
    if complete and not url:  # it comes with the catalogue, and nothing else is said of it
        table.end()
        return ModelFile(name, folder=folder)
    needed = complete and bool(url)
    sha256 = table.match("sha256", _SHA256, "64 lower-case hex digits", None if needed else "")
    size = table.whole("size", None if needed else 0)
    table.end()
    return ModelFile(name, sha256, size, url, "" if url else folder)


def _signature(table: Table) -> Signature:
    sides = [
        tuple(_tensor(name, each) for name, each in table.tables(side))
        for side in ("inputs", "outputs")
    ]
    table.end()
    return Signature(*sides)


def _tensor(name: str, table: Table) -> TensorSpec:
    if not name:
        raise table.wrong("a tensor without a name")
    spec = TensorSpec(table.one_of("dtype", sorted(DTYPES)), table.sizes("shape"), name)
    table.end()
    return spec


def parse_image(table: Table) -> ImageInput:
    """Return how an image becomes a model's input. Raises SetupError."""
    given = table.given(_IMAGE)
    table.end()
    try:
        return ImageInput(**given)
    except SetupError as error:
        raise table.wrong(error.detail, error.field or "") from None


def _serving(table: Table) -> Serving:
    value = Serving(
        max_batch=table.count("max_batch", 0, 65536),
        max_delay=table.seconds("max_delay", 0, 60),
        replicas=table.count("replicas", 1, 1024),
        processes=table.choice("processes"),
        threads=table.count("threads", 1, 1024),
        queue=table.count("queue", 0, 1_000_000),
        timeout=table.seconds("timeout", 0.001, 86400),
        warmup=table.matches("warmup", _SAMPLE, "names of .npy or .json files beside it"),
        keep=table.count("keep", 1, 1000),
        tags=tuple((name, str(version)) for name, version in table.names("tags")),
    )
    table.end()
    return value

"""The table of backends: what each one opens, how, and which packages it needs.

A backend is one module and one row. `gpfn.models.open_model`, the command line, `gpfn.build`
and the docs read this table; nothing else lists backends. A package outside gpfn adds a row
by an entry point of the group ``gpfn.backends`` whose value is a `Backend`::

    [project.entry-points."gpfn.backends"]
    toy = "toy:BACKEND"

That group is looked at only when no row of ours fits, so it costs a start nothing.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from gpfn.errors import SetupError

__all__ = [
    "BACKENDS",
    "ENTRY_POINTS",
    "Backend",
    "accepted",
    "all_backends",
    "backend_by_address",
    "backend_by_ending",
    "backend_by_folder",
    "backend_by_spelling",
    "backend_by_suffix",
    "installed_backends",
    "is_remote",
    "runtimes",
]

ENTRY_POINTS = "gpfn.backends"
"""The group of entry points that add rows."""


class Backend(NamedTuple):
    """One row: how a model of this kind is recognised and opened.

    A backend is found by one of five marks: the scheme of an address, a file inside a
    folder, the content of a file (``magic`` or ``recogniser``; a suffix only has to agree
    with it), the end of a file's name, or the spelling of the URI.
    """

    kind: str
    """Its own name, such as ``tensorflow-frozen``."""
    runtime: str
    """What computes, such as ``tensorflow``: `Model.backend`, ``gpfn build --runtime``."""
    title: str
    """What it opens, in words for errors and lists."""
    opens: str
    """``module:callable``. It is called with the path or the address and with those of the
    keywords in ``options``, and returns a `gpfn.models.Model`."""
    options: tuple[str, ...] = ("threads", "inputs", "outputs")
    """Which options of `open_model` it takes. A ``signature`` given to another is an error."""
    signatures: str = ""
    """``module:callable`` from the path to the names of the signatures that it has."""
    schemes: tuple[str, ...] = ()
    path: str = ""
    """What the path of such an address contains, where other backends have the scheme too."""
    suffixes: tuple[str, ...] = ()
    """With the dot, in lower case."""
    endings: tuple[str, ...] = ()
    """How the whole name of such a file ends, where files of that suffix are mostly others:
    only who names one means it."""
    folder: tuple[str, ...] = ()
    """A folder that has one of these files is such a model."""
    magic: tuple[int, bytes] | None = None
    """Bytes at an offset of at most 64 that every such file has."""
    recogniser: str = ""
    """``module:callable`` from the file's bytes (a memoryview) and whether the suffix says
    that it is this kind, to None (another kind), "" (this kind) or what is damaged in it."""
    parts: str = ""
    """``module:callable`` from a file's path to the names of the other files that it needs, as
    seen from its folder."""
    spelling: Callable[[str], bool] | None = None
    """Says whether a URI that is neither an address nor a file is spelled for it."""
    computes_here: bool = False
    """Whether a call only computes, in this process: how long one took then tells how long
    another will take."""
    survives_fork: bool = False
    """Whether a model that was opened with one thread answers in a process forked after that."""
    extra: str = ""
    """The extra of gpfn that installs it; nothing when it comes with gpfn."""
    packages: tuple[str, ...] = ()
    """What an image has to install from the lock file to run it."""


def _names_callable(uri: str) -> bool:
    """Say whether it reads ``module:name``, ``package.module:name.part`` or ``file.py:name``."""
    place, colon, attribute = uri.rpartition(":")
    named = all(part.isidentifier() for part in attribute.split("."))
    module = all(part.isidentifier() for part in place.split("."))
    return bool(colon) and named and (module or place.endswith(".py"))


BACKENDS = (
    Backend(
        kind="litert",
        runtime="litert",
        title="a LiteRT model (.tflite)",
        opens="gpfn.models.litert:LiteRTModel",
        options=("threads", "inputs", "outputs", "signature"),
        signatures="gpfn.models.tflite_file:signature_names",
        suffixes=(".tflite",),
        magic=(4, b"TFL3"),
        computes_here=True,
        survives_fork=True,
        packages=("ai-edge-litert",),
    ),
    Backend(
        kind="tensorflow-savedmodel",
        runtime="tensorflow",
        title="a SavedModel (folder)",
        opens="gpfn.models.tensorflow:open_saved_model",
        options=("threads", "inputs", "outputs", "signature"),
        signatures="gpfn.models.tf_signature:signature_names",
        folder=("saved_model.pb", "saved_model.pbtxt"),
        computes_here=True,
        extra="tensorflow",
        packages=("tensorflow-cpu",),
    ),
    Backend(
        kind="tensorflow-frozen",
        runtime="tensorflow",
        title="a frozen TensorFlow graph (.pb)",
        opens="gpfn.models.tensorflow:open_frozen_graph",
        suffixes=(".pb",),
        recogniser="gpfn.models.filekind:recognise_frozen_graph",
        computes_here=True,
        extra="tensorflow",
        packages=("tensorflow-cpu",),
    ),
    Backend(
        kind="onnx",
        runtime="onnx",
        title="an ONNX model (.onnx)",
        opens="gpfn.models.onnx:OnnxModel",
        suffixes=(".onnx",),
        recogniser="gpfn.models.filekind:recognise_onnx",
        parts="gpfn.models.onnx_files:external_files",
        computes_here=True,
        extra="onnx",
        packages=("onnxruntime",),
    ),
    Backend(
        kind="graphpipe",
        runtime="graphpipe",
        title="a GraphPipe server (http:// or https://)",
        opens="gpfn.models.graphpipe:GraphPipeModel",
        options=("inputs", "outputs", "limits"),
        schemes=("http", "https"),
    ),
    Backend(
        kind="oip",
        runtime="oip",
        title="an Open Inference server (http://…/v2/models/NAME)",
        opens="gpfn.models.oip:InferenceModel",
        options=("inputs", "outputs", "limits"),
        schemes=("http", "https"),
        path="/v2/models/",
    ),
    Backend(
        kind="oip-grpc",
        runtime="oip-grpc",
        title="an Open Inference server over gRPC (grpc://…/NAME or grpcs://)",
        opens="gpfn.models.oip_grpc:GrpcInferenceModel",
        options=("inputs", "outputs", "limits"),
        schemes=("grpc", "grpcs"),
        extra="grpc",
    ),
    Backend(
        kind="v1",
        runtime="v1",
        title="a server of V1, such as TF Serving (http://…/v1/models/NAME)",
        opens="gpfn.models.v1:PredictModel",
        options=("inputs", "outputs", "limits"),
        schemes=("http", "https"),
        path="/v1/models/",
    ),
    Backend(
        kind="tfaas",
        runtime="tfaas",
        title="a TFaaS server (tfaas://HOST:PORT/NAME or tfaas+https://)",
        opens="gpfn.models.tfaas:TfaasModel",
        options=(),
        schemes=("tfaas", "tfaas+https"),
    ),
    Backend(
        kind="pipeline",
        runtime="pipeline",
        title="a pipeline (.pipeline.toml)",
        opens="gpfn.models.pipeline.reading:open_pipeline",
        options=(),
        endings=(".pipeline.toml",),
    ),
    Backend(
        kind="function",
        runtime="function",
        title="a function's file (func.py)",
        opens="gpfn.function.model:open_function_model",  # by name, as all: it is a floor above
        options=("settings",),
        endings=(".py",),
    ),
    Backend(
        kind="python",
        runtime="python",
        title="a Python function (module:callable or file.py:callable)",
        opens="gpfn.models.python:python_model",
        options=(),
        spelling=_names_callable,
    ),
)
"""The backends of gpfn, in the order in which they are asked."""


@cache
def installed_backends() -> tuple[Backend, ...]:
    """Return the rows that other packages add, in the order of their entry points' names.

    Raises SetupError, naming the entry point, for one that cannot be loaded or is no row.
    """
    from importlib.metadata import entry_points  # 20 ms: only when nothing of ours fits

    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return tuple(_loaded_row(point.name, point.load) for point in points)


def _loaded_row(name: str, load: Callable[[], object]) -> Backend:
    field = f"{ENTRY_POINTS}.{name}"
    try:
        row = load()
    except Exception as error:  # whatever the module's own code raises
        raise SetupError(
            f"cannot be loaded: {type(error).__name__}: {error}", field=field
        ) from error
    if isinstance(row, Backend):
        return row
    raise SetupError(f"expected a gpfn.models.backends.Backend, got {row!r:.60}", field=field)


def all_backends() -> tuple[Backend, ...]:
    """Return the rows of gpfn and of other packages."""
    return (*BACKENDS, *installed_backends())


def backend_by_address(uri: str, rows: Sequence[Backend] = BACKENDS) -> Backend | None:
    """Return the backend that opens an address, such as ``https://host``; None for all else."""
    scheme, _, rest = uri.partition("://")
    path = rest.partition("?")[0]
    found = [row for row in rows if scheme.lower() in row.schemes and row.path in path]
    return max(found, key=lambda row: len(row.path), default=None)


def is_remote(runtime: str) -> bool:
    """Say whether models of a runtime of ours are behind a server, which may be asked later."""
    return any(row.runtime == runtime and row.schemes for row in BACKENDS)


def backend_by_folder(path: str, rows: Sequence[Backend] = BACKENDS) -> Backend | None:
    """Return the backend of a folder, told by the files that are in it."""
    names = {name for row in rows for name in row.folder}
    there = {name for name in names if os.path.isfile(os.path.join(path, name))}
    return next((row for row in rows if there.intersection(row.folder)), None)


def backend_by_suffix(name: str, rows: Sequence[Backend] = BACKENDS) -> Backend | None:
    """Return the backend that a file's suffix stands for, whether the file exists or not."""
    suffix = os.path.splitext(name)[1].lower()
    return next((row for row in rows if suffix in row.suffixes), None)


def backend_by_ending(name: str, rows: Sequence[Backend] = BACKENDS) -> Backend | None:
    """Return the backend that the end of a file's name stands for."""
    return next((row for row in rows if row.endings and name.endswith(row.endings)), None)


def backend_by_spelling(uri: str, rows: Sequence[Backend] = BACKENDS) -> Backend | None:
    """Return the backend of a URI that is neither an address nor a file."""
    return next((row for row in rows if row.spelling and row.spelling(uri)), None)


def runtimes() -> dict[str, tuple[str, ...]]:
    """Return the packages that an image needs, for each runtime of ours that has any."""
    return {row.runtime: row.packages for row in BACKENDS if row.packages}


def accepted() -> str:
    """Return what can be opened, in words for an error or a help text."""
    return ", ".join(row.title for row in all_backends())

"""Files that people send as models and that are not run here: what they are, what helps.

Told by the content where a format can be told by it, else by the suffix. A pickle, a script or
a Keras file with a Lambda layer is code of whoever sent it, which runs when it is loaded; the
others need their own framework. Each has a way to one of the formats that are taken.
"""

import os
import shlex
from typing import IO, NamedTuple

from gpfn.errors import ModelRefused, SetupError, UnsupportedMedia

__all__ = ["foreign_kind", "is_foreign_name", "refuse_kind", "told_foreign"]

_HEAD = 512
_TAIL = 1 << 16
_FIRST_PICKLE, _LAST_PICKLE = 2, 5


class _Foreign(NamedTuple):
    """A format, and how to get from it to one of ours.

    ``command`` makes a servable model of it, where one line does: FILE in it stands for the
    file's name, OUT for ``gives``, which it writes. Where none does, ``instead`` says what a
    server takes. ``kind`` is what ``gpfn convert`` calls it, where that converts it.
    """

    title: str
    suffixes: tuple[str, ...]
    command: str = ""
    gives: str = "model.onnx"
    instead: str = ""
    kind: str = ""

    def way(self, path: str, then: str) -> str:
        """Return what helps: the command for a file at that path, and ``then`` what to do."""
        name, gives = os.path.basename(path), self.gives
        gives = gives if name != gives else f"converted{os.path.splitext(name)[1]}"
        words = self.command.replace("OUT", gives).replace("FILE", shlex.quote(path))
        return f"{words}, then {then} {gives}"


_KERAS = _Foreign(
    "a Keras file",
    (".keras", ".h5", ".hdf5", ".weights"),
    "gpfn convert FILE -o OUT",
    "model.tflite",
    kind="keras",
)
_TORCH = _Foreign(
    "a PyTorch file",
    (".pt", ".pth", ".pt2", ".torchscript", ".ckpt"),
    "gpfn convert FILE -o OUT",
    kind="torch",
)
_PICKLE = _Foreign(
    "a Python pickle, which runs code when it is loaded",
    (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"),
    "if you trust who made it: gpfn convert FILE -o OUT --trust",
    kind="pickle",
)
_XGBOOST = _Foreign(
    "a model of XGBoost",
    (".ubj", ".xgb"),
    "gpfn convert FILE -o OUT",
    kind="xgboost",
)
_LIGHTGBM = _Foreign(
    "a model of LightGBM",
    (),
    "gpfn convert FILE -o OUT",
    kind="lightgbm",
)
_PROGRAM = _Foreign(
    "a program",
    (".py", ".pyc", ".ipynb", ".sh", ".so", ".toml"),
    instead="programs and pipelines are served from a folder of the server's own: "
    "gpfn serve --models",
)
_WEIGHTS = _Foreign(
    "weights without a graph",
    (".safetensors", ".npz", ".npy", ".msgpack"),
    "export the model with its graph: to ONNX, or with Keras' model.export('mymodel')",
    "that",
)
_OTHER_WEIGHTS = _WEIGHTS._replace(
    suffixes=(".caffemodel", ".gguf"),
    command="export the model that they were made of to ONNX",
)
_KINDS = (_KERAS, _TORCH, _PICKLE, _XGBOOST, _PROGRAM, _WEIGHTS, _OTHER_WEIGHTS)

_MARKS: tuple[tuple[bytes, _Foreign], ...] = (
    (b"\x89HDF\r\n", _KERAS._replace(title="a Keras file (HDF5)")),
    (b"{L\0\0\0\0\0\0\0\x07learner", _XGBOOST),
    (b'{"learner":', _XGBOOST),
    (b"tree\nversion=", _LIGHTGBM),
    (b"#!", _PROGRAM),
    (b"\x7fELF", _PROGRAM),
    (b"MZ", _PROGRAM),
    (b"\x93NUMPY", _WEIGHTS._replace(title="weights without a graph (a NumPy array)")),
    (b"GGUF", _OTHER_WEIGHTS),
)
_IN_ZIP = (
    (b"model.weights.h5", _KERAS),
    (b"archive_format", _TORCH),
    (b"data.pkl", _TORCH),
    (b".npy", _WEIGHTS),
)


def refuse_kind(path: "str | os.PathLike[str]", name: str | None = None) -> None:
    """Refuse a model's file that is of a kind that is not run here; return for all others.

    Not for files beside it: labels, parameters and weights may be anything. ``name``
    is what it is called, if that is not the path's last part.

    Raises:
        UnsupportedMedia: It is of such a kind; the error says what it is and what helps.
        ModelRefused: It cannot be read.
    """
    path = os.fspath(path)
    name = os.path.basename(path) if name is None else name
    if os.path.isdir(path):
        return
    try:
        with open(path, "rb") as file:
            found = _by_content(file)
    except OSError as error:
        raise ModelRefused(f"{error.strerror}: {name}", field="model") from None
    found = found or _by_suffix(name)
    if found:
        help_ = found.instead or found.way(name[:99], "send")
        raise UnsupportedMedia(f"{name!r:.99} is {found.title}: {help_}", field="model")


def told_foreign(path: str) -> str:
    """Return what a file is that another framework has written, and what makes it servable.

    Nothing for a file of any other kind, and for one that cannot be read.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            found = _by_content(file) or _by_suffix(name)
    except OSError:
        return ""
    if found is None or not found.command:
        return ""
    return f"{path} is {found.title}: {found.way(path, 'use')}"


def foreign_kind(path: str) -> str:
    """Return what ``gpfn convert`` calls the kind of a file; nothing when it does not convert it.

    Raises SetupError for a file that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            found = _by_content(file) or _by_suffix(path)
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}", field="MODEL") from None
    return found.kind if found else ""


def is_foreign_name(name: str) -> bool:
    """Say whether a name has the suffix of a file of another framework."""
    return _by_suffix(name) is not None


def _by_content(file: IO[bytes]) -> _Foreign | None:
    head = file.read(_HEAD)
    if head[4:8] == b"TFL3":  # in front of that anything may stand
        return None
    for mark, kind in _MARKS:
        if head.startswith(mark):
            return kind
    if head[:1] == b"\x80" and _FIRST_PICKLE <= (head[1:2] or b"\0")[0] <= _LAST_PICKLE:
        return _PICKLE
    if head.startswith(b"PK\x03\x04"):
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        listed = file.read(_TAIL)  # where a zip has the names of its files
        return next((kind for mark, kind in _IN_ZIP if mark in listed), None)
    return None


def _by_suffix(name: str) -> _Foreign | None:
    lower = name.lower()
    return next((kind for kind in _KINDS if lower.endswith(kind.suffixes)), None)

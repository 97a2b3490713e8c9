"""Is a model that somebody sent a program that may run here? Asked before anything runs it.

A model is a program in its runtime's language, and each language has words that reach out of
it. `check_operators` allows those that compute and refuses all others, from the bytes alone:
no runtime is loaded, tensors are skipped, and memory does not grow with the file. `refuse_kind`
says of files that are no models of ours what they are and how to export one.

Neither makes a runtime safe against a file that is made to break it: `gpfn.models.vet` tries a
model in a process of its own, after this.
"""

import mmap
import os
import struct
from typing import cast

from gpfn.errors import ModelRefused
from gpfn.models.foreign_files import refuse_kind
from gpfn.models.onnx_guard import check_onnx
from gpfn.models.protobuf import ProtobufError
from gpfn.models.tf_guard import check_graph_def, check_saved_model
from gpfn.models.tflite_file import field, follow, tables, text

__all__ = ["CUSTOM_OPERATORS", "check_operators", "refuse_kind"]

CUSTOM_OPERATORS = frozenset(
    ("TFLite_Detection_PostProcess", "AudioSpectrogram", "Mfcc", "NumericVerify")
)
"""The custom operators that LiteRT itself has."""

_CODES = 1  # field of the table Model
_OLD_CODE, _CUSTOM_NAME, _CODE = 0, 1, 3  # of OperatorCode
_CUSTOM = 32
_MOST_CODES = 10_000
_LONGEST_NAME = 1000
_OTHER_FORMS = ("saved_model.pbtxt", "saved_model.cpb")


def check_operators(path: "str | os.PathLike[str]", kind: str) -> None:
    """Refuse a model that has anything but allowed operators.

    ``kind`` is ``litert``, ``onnx``, ``tensorflow`` (a SavedModel's folder) or ``graph`` (a
    frozen TensorFlow graph). The time grows with the number of operators, not of bytes; where
    somebody could send a file of nothing but fields, call it where time is bounded.

    Raises:
        ModelRefused: It has another operator, which is named with its node, or is damaged.
    """
    path = os.fspath(path)
    if kind == "tensorflow":
        path = _graph_of(path)
    data = _mapped(path)  # unmapped with the last view of it
    try:
        if kind == "litert":
            _check_litert(cast("bytes", data))  # what is read of it is all the same
        elif kind == "onnx":
            check_onnx(memoryview(data), path)
        elif kind == "tensorflow":
            check_saved_model(memoryview(data))
        elif kind == "graph":
            check_graph_def(memoryview(data))
        else:
            raise ModelRefused(f"no kind of model: {kind!r:.99}", field="model")
    except (ProtobufError, struct.error, ValueError, IndexError) as error:
        raise ModelRefused(f"it is damaged ({error})", field="model") from None


def _graph_of(folder: str) -> str:
    """Return the file of a SavedModel's graph, of which there is one, in the binary form."""
    for name in _OTHER_FORMS:
        if os.path.lexists(os.path.join(folder, name)):
            raise ModelRefused(f"send saved_model.pb without {name}", field="model")
    return os.path.join(folder, "saved_model.pb")


def _mapped(path: str) -> mmap.mmap:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        name = os.path.basename(path)
        raise ModelRefused(f"{error.strerror}: {name}", field="model") from None
    except ValueError:
        raise ModelRefused(f"the file is empty: {os.path.basename(path)}", field="model") from None


def _check_litert(data: bytes) -> None:
    """Check the table of operators that a .tflite file uses, in any of its subgraphs."""
    if data[4:8] != b"TFL3":
        raise ValueError("no TFL3 in bytes 4 to 7")
    for number, table in enumerate(tables(data, follow(data, 0), _CODES)):
        if number >= _MOST_CODES:
            raise ModelRefused(f"more than {_MOST_CODES} kinds of operators", field="model")
        old, new = field(data, table, _OLD_CODE), field(data, table, _CODE)
        low = struct.unpack_from("<b", data, old)[0] if old else 0
        code = max(low, struct.unpack_from("<i", data, new)[0] if new else 0)
        if code == _CUSTOM:
            name = _custom_name(data, field(data, table, _CUSTOM_NAME))
            if name not in CUSTOM_OPERATORS:
                raise _refused_custom(name)


def _custom_name(data: bytes, at: int) -> str:
    size = struct.unpack_from("<I", data, follow(data, at))[0] if at else 0
    return text(data, at) if size <= _LONGEST_NAME else f"of {size} bytes"


def _refused_custom(name: str) -> ModelRefused:
    if name.startswith("Flex"):
        help_ = "it is TensorFlow's: convert without SELECT_TF_OPS, or send the SavedModel"
    else:
        help_ = "convert the model with LiteRT's own operators (allow_custom_ops=False)"
    return ModelRefused(f"the custom operator {name!r:.99} is not allowed: {help_}", field="model")

"""TensorFlow's C library by ctypes, as tensorflow-cpu ships it, without its Python package.

Loading the library takes a third of a second; ``import tensorflow`` takes two, and 200 MB
more. Source: tensorflow/c/c_api.h, tf_tensor.h, tf_status.h, tf_tstring.h of
TensorFlow 2; they promise a stable binary interface.
"""

import ctypes
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpfn.errors import MissingExtra

__all__ = ["DTYPES", "Buffer", "NativeLibrary", "Output", "TensorFlowError", "library", "type_name"]

_P, _INT, _SIZE, _I64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_int64
_TEXT = ctypes.c_char_p


DTYPES = MappingProxyType(
    {
        1: "float32",
        2: "float64",
        3: "int32",
        4: "uint8",
        5: "int16",
        6: "int8",
        7: "string",
        9: "int64",
        10: "bool",
        17: "uint16",
        19: "float16",
        22: "uint32",
        23: "uint64",
    }
)
"""NumPy's names of the dtypes that gpfn knows, by TF_DataType's numbers."""


_OTHER_TYPES = MappingProxyType(
    {
        8: "complex64",
        11: "qint8",
        12: "quint8",
        13: "qint32",
        14: "bfloat16",
        15: "qint16",
        16: "quint16",
        18: "complex128",
        20: "resource",
        21: "variant",
        24: "float8_e5m2",
        25: "float8_e4m3fn",
        29: "int4",
        30: "uint4",
    }
)


def type_name(number: int) -> str:
    """Return what a TF_DataType is called, also one that gpfn has no dtype for."""
    known = DTYPES.get(number) or _OTHER_TYPES.get(number)
    return f"TensorFlow {known}" if known else f"TensorFlow type {number}"


class Output(ctypes.Structure):
    """TF_Output: one of an operation's outputs."""

    _fields_ = (("oper", _P), ("index", _INT))


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow owns."""

    _fields_ = (("data", _P), ("length", _SIZE), ("deallocator", _P))


_QUICK: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("TF_Version", _TEXT, ()),
    ("TF_NewStatus", _P, ()),
    ("TF_DeleteStatus", None, (_P,)),
    ("TF_GetCode", _INT, (_P,)),
    ("TF_Message", _TEXT, (_P,)),
    ("TF_NewBuffer", ctypes.POINTER(Buffer), ()),
    ("TF_NewBufferFromString", ctypes.POINTER(Buffer), (_TEXT, _SIZE)),
    ("TF_DeleteBuffer", None, (ctypes.POINTER(Buffer),)),
    ("TF_NewGraph", _P, ()),
    ("TF_NewSessionOptions", _P, ()),
    ("TF_DeleteSessionOptions", None, (_P,)),
    ("TF_SetConfig", None, (_P, _TEXT, _SIZE, _P)),
    ("TF_NewImportGraphDefOptions", _P, ()),
    ("TF_DeleteImportGraphDefOptions", None, (_P,)),
    ("TF_GraphOperationByName", _P, (_P, _TEXT)),
    ("TF_GraphNextOperation", _P, (_P, ctypes.POINTER(_SIZE))),
    ("TF_GraphGetTensorNumDims", _INT, (_P, Output, _P)),
    ("TF_GraphGetTensorShape", None, (_P, Output, ctypes.POINTER(_I64), _INT, _P)),
    ("TF_OperationName", _TEXT, (_P,)),
    ("TF_OperationOpType", _TEXT, (_P,)),
    ("TF_OperationNumInputs", _INT, (_P,)),
    ("TF_OperationNumOutputs", _INT, (_P,)),
    ("TF_OperationOutputType", _INT, (Output,)),
    ("TF_OperationOutputNumConsumers", _INT, (Output,)),
    ("TF_AllocateTensor", _P, (_INT, ctypes.POINTER(_I64), _INT, _SIZE)),
    ("TF_DeleteTensor", None, (_P,)),
    ("TF_TensorType", _INT, (_P,)),
    ("TF_NumDims", _INT, (_P,)),
    ("TF_Dim", _I64, (_P, _INT)),
    ("TF_TensorByteSize", _SIZE, (_P,)),
    ("TF_TensorData", _P, (_P,)),
    ("TF_StringInit", None, (_P,)),
    ("TF_StringCopy", None, (_P, _TEXT, _SIZE)),
    ("TF_StringDealloc", None, (_P,)),
    ("TF_StringGetDataPointer", _P, (_P,)),
    ("TF_StringGetSize", _SIZE, (_P,)),
)
"""Functions that return at once: Python's global lock is held while they run."""

_PP, _OUTPUTS = ctypes.POINTER(_P), ctypes.POINTER(Output)

_SLOW: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("TF_GraphImportGraphDef", None, (_P, ctypes.POINTER(Buffer), _P, _P)),
    ("TF_NewSession", _P, (_P, _P, _P)),
    (
        "TF_LoadSessionFromSavedModel",
        _P,
        (_P, _P, _TEXT, ctypes.POINTER(_TEXT), _INT, _P, ctypes.POINTER(Buffer), _P),
    ),
    ("TF_SessionRun", None, (_P, _P, _OUTPUTS, _PP, _INT, _OUTPUTS, _PP, _INT, _P, _INT, _P, _P)),
    ("TF_CloseSession", None, (_P, _P)),
    ("TF_DeleteSession", None, (_P, _P)),
    ("TF_DeleteGraph", None, (_P,)),
)
"""Functions that take time: other Python threads run meanwhile."""

_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_LONGEST_MESSAGE = 2000


class TensorFlowError(Exception):
    """What a TF_Status says: the code's name and TensorFlow's message."""


class NativeLibrary:
    """The functions of the C library by their names, with their types set."""

    def __init__(self, folder: Path) -> None:
        with _silence():
            ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"))
        main = str(folder / "libtensorflow_cc.so.2")  # finds what the other one has as well
        for table, loaded in ((_QUICK, ctypes.PyDLL(main)), (_SLOW, ctypes.CDLL(main))):
            for name, result, arguments in table:
                if not hasattr(loaded, name):
                    raise MissingExtra(f"A TensorFlow with {name}", "tensorflow")
                function = getattr(loaded, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)  # every function is set above; this tells type checkers so

    @contextmanager
    def status(self) -> Iterator[int]:
        """Lend a TF_Status, and raise TensorFlowError if it is not OK in the end."""
        status = self.TF_NewStatus()
        try:
            yield status
            self.check(status)
        finally:
            self.TF_DeleteStatus(status)

    def check(self, status: int) -> None:
        """Raise TensorFlowError if the status is not OK."""
        code = self.TF_GetCode(status)
        if code:
            message = self.TF_Message(status).decode("utf-8", "replace")[:_LONGEST_MESSAGE]
            raise TensorFlowError(f"{_CODES[code] if code < len(_CODES) else code}: {message}")


@cache
def library() -> NativeLibrary:
    """Return TensorFlow's C library, loaded once.

    Raises MissingExtra when tensorflow-cpu is not installed. Its messages below errors
    are silenced unless TF_CPP_MIN_LOG_LEVEL says otherwise.
    """
    found = importlib.util.find_spec("tensorflow")
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / "libtensorflow_cc.so.2").is_file():
            return NativeLibrary(Path(place))
    raise MissingExtra("TensorFlow's C library (tensorflow-cpu)", "tensorflow")


_NOISE = re.compile(rb"^(WARNING: All log messages before absl|[IW]\d{4} ).*\n?", re.MULTILINE)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what the library logs while it is loaded from stderr, errors excepted.

    TF_CPP_MIN_LOG_LEVEL is not yet obeyed at that time. On a processor without AVX the
    library ends the process with a message, so there stderr is left alone.
    """
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") not in ("0", "1")
    if not (quiet and os.path.exists("/proc/self/fd/2") and _has_avx()):
        yield
        return
    kept, said = os.dup(2), os.memfd_create("tensorflow-log")
    os.dup2(said, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.lseek(said, 0, os.SEEK_SET)
        with open(said, "rb") as file:
            os.write(kept, _NOISE.sub(b"", file.read()))  # other threads may have written too
        os.close(kept)


def _has_avx() -> bool:
    try:
        with open("/proc/cpuinfo", "rb") as file:
            return any(b" avx " in line for line in file if line.startswith(b"flags"))
    except OSError:
        return False

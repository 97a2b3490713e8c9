"""A TensorFlow graph with its session: opened, run with NumPy arrays, and freed once.

Arrays are copied into TensorFlow's tensors and outputs are copied out of them. An output
may be a constant of the model or the caller's own input, and copying a few kilobytes costs
less than the bookkeeping that sharing memory would take.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpfn.errors import ModelFailed, ModelUnreadable
from gpfn.models.signature import Array
from gpfn.models.tf_library import DTYPES, NativeLibrary, Output, TensorFlowError, library
from gpfn.models.tf_signature import Port, find_port
from gpfn.tensors.spec import TensorSpec

__all__ = ["Session", "from_tensor", "frozen_session", "saved_session", "tensors"]

_TAG = b"serve"
_NUMBERS = {name: number for number, name in DTYPES.items()}
_STRING = 7
_STRING_BYTES = 24
"""The size of a TF_TString."""


class Session:
    """A graph and a TF_Session; ``meta_graph`` is a SavedModel's description of itself."""

    def __init__(
        self, name: str, opener: Callable[[NativeLibrary, int], tuple[int, bytes]]
    ) -> None:
        self.name = name
        self.library = library()
        self.graph: int = self.library.TF_NewGraph()
        try:
            self._session, self.meta_graph = opener(self.library, self.graph)
        except TensorFlowError as error:
            self.library.TF_DeleteGraph(self.graph)
            raise ModelUnreadable(f"TensorFlow cannot open it ({error}): {name}") from error
        self._calls = 0
        self._closed = False
        self._changed = threading.Condition()

    def find(self, name: str, spec: TensorSpec | None = None) -> Port | None:
        """Return a tensor of the graph by its name, or None; ``spec`` if it is known better."""
        return find_port(self.library, self.graph, name, spec)

    def run(
        self, feeds: Sequence[Port], arrays: Sequence[Array], fetches: Sequence[Port]
    ) -> list[Array]:
        """Return the fetched tensors. Raises TensorFlowError; call it within :meth:`in_use`."""
        native, count = self.library, len(fetches)
        with tensors(native, arrays, count) as (given, results), native.status() as status:
            native.TF_SessionRun(
                self._session,
                None,
                (Output * len(feeds))(*(port.output for port in feeds)),
                given,
                len(feeds),
                (Output * count)(*(port.output for port in fetches)),
                results,
                count,
                None,
                0,
                None,
                status,
            )
            native.check(status)
            return [from_tensor(native, result) for result in results]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the session from being freed. Raises ModelFailed after :meth:`close`."""
        with self._changed:
            if self._closed:
                raise ModelFailed(f"{self.name} is closed")
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Free the session and the graph when no call is at work any more."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: self._calls == 0)
        status = self.library.TF_NewStatus()  # an error makes no difference now
        self.library.TF_CloseSession(self._session, status)
        self.library.TF_DeleteSession(self._session, status)
        self.library.TF_DeleteGraph(self.graph)
        self.library.TF_DeleteStatus(status)


def saved_session(folder: str, threads: int) -> Session:
    """Open a SavedModel's graph of the tag ``serve``, its variables restored."""

    def load(native: NativeLibrary, graph: int) -> tuple[int, bytes]:
        tags, meta_graph = (ctypes.c_char_p * 1)(_TAG), native.TF_NewBuffer()
        try:
            with _options(native, threads) as options, native.status() as status:
                session = native.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(folder), tags, 1, graph, meta_graph, status
                )
            content = meta_graph.contents
            return session, ctypes.string_at(content.data, content.length)
        finally:
            native.TF_DeleteBuffer(meta_graph)

    return Session(folder, load)


def frozen_session(path: str, content: bytes, threads: int) -> Session:
    """Open a GraphDef whose variables have become constants."""

    def load(native: NativeLibrary, graph: int) -> tuple[int, bytes]:
        buffer, options = (
            native.TF_NewBufferFromString(content, len(content)),
            native.TF_NewImportGraphDefOptions(),
        )
        try:
            with native.status() as status:
                native.TF_GraphImportGraphDef(graph, buffer, options, status)
        finally:
            native.TF_DeleteImportGraphDefOptions(options)
            native.TF_DeleteBuffer(buffer)
        with _options(native, threads) as session_options, native.status() as status:
            return native.TF_NewSession(graph, session_options, status), b""

    return Session(path, load)


@contextmanager
def _options(native: NativeLibrary, threads: int) -> Iterator[int]:
    options = native.TF_NewSessionOptions()
    config = _config(threads)
    try:
        with native.status() as status:
            native.TF_SetConfig(options, config, len(config), status)
        yield options
    finally:
        native.TF_DeleteSessionOptions(options)


def _config(threads: int) -> bytes:
    """Return a ConfigProto (config.proto).

    Field 2 is intra_op_parallelism_threads and 5 inter_op_parallelism_threads, where -1
    means: in the thread that calls. Field 7, allow_soft_placement, lets a graph that was
    frozen for a GPU run here.
    """
    across = b"\xff" * 9 + b"\x01" if threads == 1 else _varint(threads)
    return b"\x10" + _varint(threads) + b"\x28" + across + b"\x38\x01"


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


@contextmanager
def tensors(
    library: NativeLibrary, arrays: Sequence[Array], count: int
) -> Iterator[tuple[Any, Any]]:
    """Lend two C arrays of TF_Tensor pointers: copies of ``arrays``, and ``count`` null ones.

    The null pointers are for TensorFlow's results. All tensors are freed in the end.
    """
    given = (ctypes.c_void_p * len(arrays))()
    results = (ctypes.c_void_p * count)()
    try:
        for index, array in enumerate(arrays):
            given[index] = _to_tensor(library, array)
        yield given, results
    finally:
        for pointer in (*given, *results):
            if pointer:
                _free(library, pointer)


def from_tensor(library: NativeLibrary, tensor: int) -> Array:
    """Return a new array of a TF_Tensor's dtype and shape; strings are an object array of bytes.

    Raises ModelFailed for a type that gpfn has no dtype for.
    """
    number = library.TF_TensorType(tensor)
    if number not in DTYPES:
        raise ModelFailed(f"an output has the unsupported TensorFlow type {number}")
    shape = [library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor))]
    if number == _STRING:
        return _strings(library, tensor, shape)
    array: Array = np.empty(shape, DTYPES[number])
    if array.nbytes != library.TF_TensorByteSize(tensor):
        raise ModelFailed(
            f"an output of shape {shape} has {library.TF_TensorByteSize(tensor)} bytes"
        )
    if array.nbytes:
        ctypes.memmove(_address(array), library.TF_TensorData(tensor), array.nbytes)
    return array


def _to_tensor(library: NativeLibrary, array: Array) -> int:
    strings = array.dtype.kind == "O"
    number = _STRING if strings else _NUMBERS[array.dtype.name]
    size = array.size * _STRING_BYTES if strings else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor: int | None = library.TF_AllocateTensor(number, shape, array.ndim, size)
    if not tensor:
        raise ModelFailed(f"TensorFlow cannot allocate {size} bytes for an input")
    data = library.TF_TensorData(tensor)
    if not strings:
        if size:
            ctypes.memmove(data, _address(array), size)
        return tensor
    for index, value in enumerate(array.ravel().tolist()):
        library.TF_StringInit(data + index * _STRING_BYTES)
        library.TF_StringCopy(data + index * _STRING_BYTES, value, len(value))
    return tensor


def _strings(library: NativeLibrary, tensor: int, shape: Sequence[int]) -> Array:
    array: Array = np.empty(int(np.prod(shape, dtype=np.int64)), object)
    data = library.TF_TensorData(tensor)
    for index in range(array.size):
        string = data + index * _STRING_BYTES
        text = library.TF_StringGetDataPointer(string)
        array[index] = ctypes.string_at(text, library.TF_StringGetSize(string))
    return array.reshape(shape)


def _free(library: NativeLibrary, tensor: int) -> None:
    library.TF_DeleteTensor(tensor)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address

"""Rows that were computed before are not computed again.

As in graphpipe-go, the key of a row is a SHA-512 over each input's name, type, shape
without the batch dimension, and the row's bytes, and over the output's name. Rows found
are taken from the store, the others go to the model together, and the reply is stitched
in the order of the request. That is only right for models whose rows do not depend on
each other, so it is off unless asked for.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidMessage
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse
from gpfn.limits import Limits

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = ["CachedModel", "Store", "cached"]

_MOST_ROWS = 1 << 12
"""The most rows of outputs in one request: each costs a key, a look-up and an array of its own."""

_Compute = Callable[[InferRequest], InferResponse]


class Store(Protocol):
    """Where rows are kept."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values that are there."""

    def put(self, rows: dict[bytes, bytes]) -> None:
        """Keep the values."""

    def close(self) -> None:
        """Let go of the place where they are."""


class CachedModel:
    """A model whose rows are kept; see `gpfn.models.Model`. A call may wait for the file."""

    waits = True

    def __init__(self, model: "Model", store: Store, limits: Limits) -> None:
        self.name, self.backend = model.name, model.backend
        self.inputs, self.outputs = model.inputs, model.outputs
        self._model = model
        self._store = store
        self._limits = limits
        self._bools = {spec.name for spec in model.outputs if spec.dtype == "bool"}

    def __call__(
        self,
        inputs: "Mapping[str, np.ndarray]",
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> "dict[str, np.ndarray]":
        """Compute what is not kept."""
        names = tuple(outputs) or tuple(spec.name for spec in self.outputs)

        def compute(request: InferRequest) -> InferResponse:
            arrays = dict(zip(request.input_names, request.tensors, strict=True))
            given = self._model(arrays, outputs=names, deadline=deadline)
            return InferResponse(tensors=tuple(_kept_as(given[name]) for name in given))

        request = InferRequest(tuple(inputs.values()), tuple(inputs), names)
        tensors = cached(self._store, request, compute, self._limits).tensors
        return {
            name: array.view(bool) if name in self._bools else array
            for name, array in zip(names, tensors, strict=True)
        }

    def close(self) -> None:
        """Close the model and the file."""
        self._model.close()
        self._store.close()


def _kept_as(array: "np.ndarray") -> "np.ndarray":
    """Return an array as GraphPipe has it, which knows no bool."""
    return array.view("uint8") if array.dtype.kind == "b" else array


def cached(store: Store, request: InferRequest, compute: _Compute, limits: Limits) -> InferResponse:
    """Answer a request whose names are complete, computing only rows not in the store.

    A request without a common batch dimension, with rows of nothing, or of more rows than are
    worth to be looked for one by one, is computed whole and not kept; so is one that the model
    does not answer with a row for each row.
    """
    count = _common_rows(request.tensors)
    if not 0 < count * len(request.output_names) <= _MOST_ROWS or _is_empty(request.tensors):
        return compute(request)
    keys = _row_keys(request, count)
    known = _read(store, [key for row in keys for key in row], limits)
    missing = [row for row in range(count) if any(key not in known for key in keys[row])]
    if missing:
        fresh = compute(_select(request, missing))
        if any(array.shape[:1] != (len(missing),) for array in fresh.tensors):
            return fresh if len(missing) == count else compute(request)
        computed = {
            key: array[position]
            for position, row in enumerate(missing)
            for key, array in zip(keys[row], fresh.tensors, strict=True)
        }
        store.put({key: _pack(row) for key, row in computed.items()})
        known |= computed
    return InferResponse(tensors=_stitch(known, keys, len(request.output_names)))


def _common_rows(tensors: "Sequence[np.ndarray]") -> int:
    counts = {array.shape[:1] for array in tensors}
    if len(counts) != 1:
        return 0
    shape = counts.pop()
    return shape[0] if shape else 0


def _is_empty(tensors: "Sequence[np.ndarray]") -> bool:
    return not any(array.size for array in tensors)


def _row_keys(request: InferRequest, count: int) -> list[list[bytes]]:
    heads = [
        _framed(f"{name} {array.dtype.str} {array.shape[1:]}".encode())
        for name, array in zip(request.input_names, request.tensors, strict=True)
    ]
    config = _framed((request.config or "").encode())
    keys = []
    for row in range(count):
        digest = hashlib.sha512(config)
        for head, array in zip(heads, request.tensors, strict=True):
            digest.update(head)
            digest.update(_row_bytes(array[row]))
        keys.append([_named(digest, name) for name in request.output_names])
    return keys


def _named(digest: "hashlib._Hash", output: str) -> bytes:
    named = digest.copy()
    named.update(output.encode())
    return named.digest()


def _row_bytes(row: Any) -> bytes:
    """Return the bytes of a row: an array, a number, or one byte string of a string tensor."""
    import numpy as np

    if not isinstance(row, np.ndarray | np.generic):
        return _framed(bytes(row))
    if row.dtype == object:
        texts: list[bytes] = row.reshape(-1).tolist()
        return b"".join(map(_framed, texts))
    return row.tobytes()


def _framed(text: bytes) -> bytes:
    """Put the length in front, so that no two sequences of texts look the same."""
    return len(text).to_bytes(8, "little") + text


def _select(request: InferRequest, rows: list[int]) -> InferRequest:
    if len(rows) == request.tensors[0].shape[0]:
        return request
    return InferRequest(
        tensors=tuple(array[rows] for array in request.tensors),
        input_names=request.input_names,
        output_names=request.output_names,
        config=request.config,
    )


def _pack(row: "np.ndarray") -> bytes:
    """Keep a row as a GraphPipe message of its own: its type and shape come back checked."""
    import numpy as np

    array = np.asarray(row, dtype=object if isinstance(row, bytes) else None)
    return b"".join(encode_response(InferResponse(tensors=(array,))))


def _read(store: Store, keys: list[bytes], limits: Limits) -> "dict[bytes, np.ndarray]":
    rows = {}
    for key, value in store.get(keys).items():
        try:
            rows[key] = decode_response(value, limits).tensors[0]
        except (InvalidMessage, IndexError):
            continue  # a damaged row is a row not found
    return rows


def _stitch(
    known: "dict[bytes, np.ndarray]", keys: list[list[bytes]], outputs: int
) -> "tuple[np.ndarray, ...]":
    import numpy as np

    return tuple(np.stack([known[row[output]] for row in keys]) for output in range(outputs))

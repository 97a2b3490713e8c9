"""A model behind a server, called like one in this process, whatever protocol it speaks.

A module a protocol derives from :class:`RemoteModel`: `gpfn.models.graphpipe` and
`gpfn.models.oip`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    BackendError,
    BackendTimeout,
    BrokenReply,
    DeadlineExceeded,
    InvalidTensor,
    ModelFailed,
    RefusedByModel,
)
from gpfn.models.signature import Array, bare, find_name
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

__all__ = ["UNKNOWN", "RemoteModel", "ServerMetadata"]

_METADATA_SECONDS = 5.0
"""How long the server may take to send its metadata."""
_METADATA_KEPT_SECONDS = 60.0
"""How long its metadata are used before they are asked for again: the model may change."""
_SERVER_ERROR = 500


class ServerMetadata(NamedTuple):
    """The server's metadata, by name without ``:0``: specs, and the names as the server has them.

    An input or output whose type is not told has a name only. ``datatypes`` are the protocol's
    own by the server's names, where a spec does not tell them.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    input_names: Mapping[str, str]
    output_names: Mapping[str, str]
    datatypes: Mapping[str, str] = {}


UNKNOWN = ServerMetadata({}, {}, {}, {})
"""What is known of a server that says nothing of itself."""


class RemoteModel(ABC):
    """A model server; see `gpfn.models.Model`. Outputs are read-only.

    The server's metadata are asked for when they are first needed, not when this is made:
    a function may start before its model server. They are a hint: graphpipe-go's Serve tells
    a wrong shape and type, graphpipe-tf lists every tensor of its graph, and others say
    nothing. So arrays are sent as they are given, but that a number gets the width that the
    hint has when it fits in all else, and the server judges them. Where it refuses, and the
    hint says why, that is the error.
    """

    backend = ""
    waits = True
    """A call waits for another machine or process."""

    def __init__(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.name = name
        self._input_names, self._output_names = tuple(inputs), tuple(outputs)
        self._description = UNKNOWN
        self._expires = Deadline(0.0)
        self._lock = threading.Lock()
        self._closed = False

    @abstractmethod
    def _metadata(self, deadline: Deadline) -> ServerMetadata:
        """Return what the server says of the model; raise BackendError."""

    @abstractmethod
    def _ask(
        self,
        arrays: dict[str, Array],
        outputs: Mapping[str, str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        """Return what the server computes, by name.

        ``outputs`` has the server's name of each output that is wanted, by the name that it
        is to have; it is empty when all are. Raises BackendError.
        """

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connections."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the server's metadata, fetched if need be; empty when it has none."""
        return self.inputs_within(NEVER)

    def inputs_within(self, deadline: Deadline) -> tuple[TensorSpec, ...]:
        """Return the same; the server has until the deadline. Raises BackendError."""
        return _chosen(self._input_names, self._described(deadline).inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the server's metadata, fetched if need be; empty when it has none."""
        return _chosen(self._output_names, self._described(NEVER).outputs)

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`. The deadline is the time-out too."""
        if self._closed:
            raise ModelFailed(f"{self.name} is closed")
        deadline.check("inference")
        known = self._described(deadline)
        try:
            return self._infer(inputs, outputs, known, deadline)
        except RefusedByModel as error:
            fresh = self._asked_again(known, deadline)
            if fresh == known:
                _blame_caller(error, inputs, known)
                raise
        try:
            return self._infer(inputs, outputs, fresh, deadline)
        except RefusedByModel as error:
            _blame_caller(error, inputs, fresh)
            raise

    def _infer(
        self,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        wanted: dict[str, str] = {}
        for given in tuple(outputs) or self._output_names:
            shown = find_name(given, known.output_names) or bare(given)
            wanted[shown] = known.output_names.get(shown, given)
        arrays, as_told = _hinted(inputs, known)
        came = self._ask(arrays, wanted, known, deadline)
        # what takes inputs that its metadata rule out is not held to them in its outputs
        return self._checked(came, known) if as_told else came

    def _checked(self, came: dict[str, Array], known: ServerMetadata) -> dict[str, Array]:
        try:
            return {
                name: cast_to(array, known.outputs[name], path=name)
                if name in known.outputs
                else array
                for name, array in came.items()
            }
        except InvalidTensor as error:
            raise BrokenReply(
                f"{self.name} gave an output that differs from its metadata: {error}"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._disconnect()

    def _described(self, deadline: Deadline) -> ServerMetadata:
        until = deadline.earlier(Deadline.after(_METADATA_SECONDS))
        if not self._lock.acquire(timeout=until.remaining()):
            raise BackendTimeout(f"{self.name}: its metadata did not come in time")
        try:
            if self._expires.expired():
                kept = _METADATA_KEPT_SECONDS
                try:
                    self._description = self._metadata(until)
                except (RefusedByModel, BrokenReply) as error:
                    self._description = UNKNOWN  # it may infer all the same
                    if getattr(error, "code", 0) >= _SERVER_ERROR:
                        kept = 0.0  # it is not ready, and may tell in a moment
                self._expires = Deadline.after(kept)
            return self._description
        finally:
            self._lock.release()

    def _asked_again(self, known: ServerMetadata, deadline: Deadline) -> ServerMetadata:
        """Return the metadata of now, after a refusal: it may be another model."""
        self._expires = Deadline(0.0)
        try:
            return self._described(deadline)
        except (BackendError, DeadlineExceeded):
            return known


def _hinted(inputs: Mapping[str, Array], known: ServerMetadata) -> tuple[dict[str, Array], bool]:
    """Return the arrays, and whether each is as the metadata say.

    A number gets the width that they have, where it fits in all else.
    """
    hinted, as_told = {}, True
    for name, given in inputs.items():
        array, spec = plain_array(given, name), _spec_of(name, len(inputs), known)
        if spec:
            try:
                fitted = cast_to(array, spec, path=name)
            except InvalidTensor:
                as_told = False
            else:
                # floats that happen to be whole are no integers
                wrong_kind = array.dtype.kind == "f" and fitted.dtype.kind != "f"
                array, as_told = (array, False) if wrong_kind else (fitted, as_told)
        hinted[name] = array
    return hinted, as_told


def _spec_of(name: str, count: int, known: ServerMetadata) -> TensorSpec | None:
    match = find_name(name, known.inputs)
    if match:
        return known.inputs[match]
    return next(iter(known.inputs.values())) if count == 1 == len(known.inputs) else None


def _blame_caller(
    error: RefusedByModel, inputs: Mapping[str, Array], known: ServerMetadata
) -> None:
    """Raise InvalidTensor when the metadata say as well that an input is wrong."""
    if error.code >= _SERVER_ERROR:
        return
    for name, array in inputs.items():
        spec = _spec_of(name, len(inputs), known)
        known_name = len(inputs) == 1 or find_name(name, known.input_names) is not None
        if known.input_names and not known_name:
            takes = ", ".join(list(known.input_names)[:8])
            told = f"unknown input; the model server takes {takes} ({error.detail})"
            raise InvalidTensor(told, field=name) from error
        if spec is not None:
            try:
                cast_to(array, spec, path=name)
            except InvalidTensor as misfit:
                told = f"{misfit.detail} ({error.detail})"
                raise InvalidTensor(told, field=misfit.field) from error


def _chosen(names: Sequence[str], specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    found = [find_name(name, specs) for name in names]
    return tuple(specs[name] for name in found if name) if names else tuple(specs.values())

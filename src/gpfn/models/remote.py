"""A model behind a GraphPipe server, called like one in this process."""

import re
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    BackendError,
    BrokenReply,
    DeadlineExceeded,
    InvalidTensor,
    ModelFailed,
    RefusedByModel,
)
from gpfn.graphpipe.client import REPLY_LIMITS, Client
from gpfn.graphpipe.messages import IOMetadata
from gpfn.limits import Limits
from gpfn.models.signature import Array, bare, find_name, plain_names, shape_spec
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

__all__ = ["RemoteModel"]

_METADATA_SECONDS = 5.0
"""How long the server may take to send its metadata."""
_METADATA_KEPT_SECONDS = 60.0
"""How long its metadata are used before they are asked for again: the model may change."""
_SERVER_ERROR = 500
_GO_NAME = re.compile(r"(input|output)\d+")


class _Description(NamedTuple):
    """The server's metadata, by name without ``:0``: specs, and the names as the server has them.

    An input or output whose type is not told has a name only.
    """

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    input_names: dict[str, str]
    output_names: dict[str, str]


_UNKNOWN = _Description({}, {}, {}, {})


class RemoteModel:
    """A GraphPipe server; see `gpfn.models.Model`. Outputs are read-only.

    The server's metadata are asked for when they are first needed, not when this is made:
    a function may start before its model server. They are a hint: graphpipe-go's Serve tells
    a wrong shape and type, graphpipe-tf lists every tensor of its graph, and others say
    nothing. So arrays are sent as they are given, but that a number gets the width that the
    hint has when it fits in all else, and the server judges them. Where it refuses, and the
    hint says why, that is the error. Arrays of which no name is known to the server are sent
    without names, in their order.
    """

    backend = "graphpipe"

    def __init__(
        self,
        url: str,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._client = Client(url, limits=limits or REPLY_LIMITS)
        self.name = self._client.url
        self._input_names, self._output_names = tuple(inputs), tuple(outputs)
        self._description = _UNKNOWN
        self._expires = Deadline(0.0)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the server's metadata, fetched if need be; empty when it has none."""
        return _chosen(self._input_names, self._described(NEVER).inputs)

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
        known: _Description,
        deadline: Deadline,
    ) -> dict[str, Array]:
        wanted = tuple(outputs) or self._output_names
        shown = [find_name(name, known.output_names) or bare(name) for name in wanted]
        arrays, as_told = _hinted(inputs, known)
        tensors = self._client.infer(
            self._named(arrays, known),
            output_names=[
                known.output_names.get(name, given)
                for name, given in zip(shown, wanted, strict=True)
            ],
            deadline=deadline,
            exact=False,
        )
        came = self._by_name(shown, tensors, known)
        # what takes inputs that its metadata rule out is not held to them in its outputs
        return self._checked(came, known) if as_told else came

    def _by_name(
        self, shown: Sequence[str], tensors: Sequence[Array], known: _Description
    ) -> dict[str, Array]:
        if not shown:
            return dict(zip(_default_names(known, len(tensors)), tensors, strict=True))
        came = dict(zip(shown, tensors, strict=False))
        if len(tensors) != len(shown):  # graphpipe-go's Serve gives all, whatever is asked for
            if len(tensors) != len(known.output_names) or not {*shown} <= {*known.output_names}:
                raise BrokenReply(
                    f"{self.name}: {len(tensors)} outputs came, {len(shown)} were asked for"
                )
            came = dict(zip(known.output_names, tensors, strict=True))
        return {name: came[name] for name in shown}

    def _checked(self, came: dict[str, Array], known: _Description) -> dict[str, Array]:
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
        self._client.close()

    def _described(self, deadline: Deadline) -> _Description:
        with self._lock:
            if self._expires.expired():
                self._description = self._ask(deadline.earlier(Deadline.after(_METADATA_SECONDS)))
                self._expires = Deadline.after(_METADATA_KEPT_SECONDS)
            return self._description

    def _asked_again(self, known: _Description, deadline: Deadline) -> _Description:
        """Return the metadata of now, after a refusal: it may be another model."""
        self._expires = Deadline(0.0)
        try:
            return self._described(deadline)
        except (BackendError, DeadlineExceeded):
            return known

    def _ask(self, deadline: Deadline) -> _Description:
        try:
            metadata = self._client.metadata(deadline=deadline)
        except (RefusedByModel, BrokenReply):
            return _UNKNOWN  # a server without metadata may infer all the same
        takes, gives = metadata.inputs, metadata.outputs
        return _Description(_specs(takes), _specs(gives), _given_names(takes), _given_names(gives))

    def _named(
        self, arrays: dict[str, Array], known: _Description
    ) -> dict[str, Array] | tuple[Array, ...]:
        """Return the arrays under the server's names, or without names when it knows none."""
        found = {name: find_name(name, known.input_names) for name in arrays}
        if not any(found.values()):
            if len(arrays) == len(self._input_names):
                return dict(zip(self._input_names, arrays.values(), strict=True))
            if len(arrays) in (1, len(known.input_names)):
                return tuple(arrays.values())
        return {
            known.input_names[found[name] or ""] if found[name] else name: array
            for name, array in arrays.items()
        }


def _hinted(inputs: Mapping[str, Array], known: _Description) -> tuple[dict[str, Array], bool]:
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


def _spec_of(name: str, count: int, known: _Description) -> TensorSpec | None:
    match = find_name(name, known.inputs)
    if match:
        return known.inputs[match]
    return next(iter(known.inputs.values())) if count == 1 == len(known.inputs) else None


def _blame_caller(error: RefusedByModel, inputs: Mapping[str, Array], known: _Description) -> None:
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


def _given_names(ends: Sequence[IOMetadata]) -> dict[str, str]:
    return {shown: name for name, shown in plain_names(end.name for end in ends).items()}


def _specs(ends: Sequence[IOMetadata]) -> dict[str, TensorSpec]:
    """Return specs by name. An empty shape means unknown: servers send it for both."""
    if all(_is_shape_of_go(end) for end in ends):
        return {}
    shown = plain_names(end.name for end in ends)
    return {
        shown[end.name]: TensorSpec(end.type.dtype, shape_spec(end.shape) or None, shown[end.name])
        for end in ends
        if end.type.dtype
    }


def _is_shape_of_go(end: IOMetadata) -> bool:
    """Say whether it is how graphpipe-go's Serve tells an input: as a tensor of its shape."""
    return (
        _GO_NAME.fullmatch(end.name) is not None
        and end.type.dtype == "int64"
        and len(end.shape) == 1
        and end.shape[0] >= 0
    )


def _chosen(names: Sequence[str], specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    found = [find_name(name, specs) for name in names]
    return tuple(specs[name] for name in found if name) if names else tuple(specs.values())


def _default_names(known: _Description, count: int) -> list[str]:
    if count == len(known.output_names):
        return list(known.output_names)
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]

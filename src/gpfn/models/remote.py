"""A model behind a GraphPipe server, called like one in this process."""

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BrokenReply, InvalidTensor, ModelFailed, RefusedByModel
from gpfn.graphpipe.client import REPLY_LIMITS, Client
from gpfn.graphpipe.messages import IOMetadata
from gpfn.limits import Limits
from gpfn.models.signature import Array, bare, shape_spec
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

__all__ = ["RemoteModel"]

_METADATA_SECONDS = 5.0
"""How long the server may take to send its metadata."""
_METADATA_KEPT_SECONDS = 60.0
"""How long its metadata are used before they are asked for again: the model may change."""


class _Description(NamedTuple):
    """The server's metadata: specs by name without ``:0``, and the names as the server has them."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    spelled: dict[str, str]


_UNKNOWN = _Description({}, {}, {})


class RemoteModel:
    """A GraphPipe server; see `gpfn.models.Model`. Outputs are read-only.

    The server's metadata are asked for when they are first needed, not when this is made:
    a function may start before its model server. Without metadata nothing is checked here,
    and names are sent as they come. A server may list every tensor of its graph, as
    graphpipe-tf does: so the server decides whether inputs are missing, and a single array
    under an unknown name is sent as its default input.
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
        known, fitted = self._fitted(inputs, deadline)
        wanted = tuple(outputs) or self._output_names
        tensors = self._client.infer(
            self._spelled(fitted, known),
            output_names=[known.spelled.get(bare(name), name) for name in wanted],
            deadline=deadline,
        )
        names = [bare(name) for name in wanted] or _default_names(known, len(tensors))
        return {
            name: self._checked(name, array, known)
            for name, array in zip(names, tensors, strict=True)
        }

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._client.close()

    def _fitted(
        self, inputs: Mapping[str, Array], deadline: Deadline
    ) -> tuple[_Description, dict[str, Array]]:
        """Check inputs against the metadata, which are fetched again before a refusal."""
        asked_now = self._expires.expired()
        known = self._described(deadline)
        try:
            return known, _fit_all(inputs, known)
        except InvalidTensor:
            if asked_now:
                raise
            self._expires = Deadline(0.0)
            known = self._described(deadline)
            return known, _fit_all(inputs, known)

    def _described(self, deadline: Deadline) -> _Description:
        with self._lock:
            if self._expires.expired():
                self._description = self._ask(deadline.earlier(Deadline.after(_METADATA_SECONDS)))
                self._expires = Deadline.after(_METADATA_KEPT_SECONDS)
            return self._description

    def _ask(self, deadline: Deadline) -> _Description:
        try:
            metadata = self._client.metadata(deadline=deadline)
        except (RefusedByModel, BrokenReply):
            return _UNKNOWN  # a server without metadata may infer all the same
        spelled = {bare(end.name): end.name for end in (*metadata.inputs, *metadata.outputs)}
        return _Description(_specs(metadata.inputs), _specs(metadata.outputs), spelled)

    def _spelled(
        self, fitted: dict[str, Array], known: _Description
    ) -> dict[str, Array] | tuple[Array, ...]:
        if len(fitted) == 1 == len(self._input_names):
            return {self._input_names[0]: next(iter(fitted.values()))}
        if len(fitted) == 1 and bare(next(iter(fitted))) not in known.inputs:
            return tuple(fitted.values())
        return {known.spelled.get(bare(name), name): array for name, array in fitted.items()}

    def _checked(self, name: str, array: Array, known: _Description) -> Array:
        spec = known.outputs.get(name)
        if spec is None:
            return array
        try:
            return cast_to(array, spec, path=name)
        except InvalidTensor as error:
            raise BrokenReply(
                f"{self.name} gave an output that differs from its metadata: {error}"
            ) from error


def _fit_all(inputs: Mapping[str, Array], known: _Description) -> dict[str, Array]:
    fitted = {}
    for name, array in inputs.items():
        spec = known.inputs.get(bare(name))
        if spec is None and len(inputs) == 1 == len(known.inputs):
            spec = next(iter(known.inputs.values()))
        elif spec is None and known.inputs and len(inputs) > 1:
            takes = ", ".join(list(known.inputs)[:8])
            raise InvalidTensor(f"unknown input; the model server takes {takes}", field=name)
        plain = plain_array(array, name)
        fitted[name] = cast_to(plain, spec, path=name) if spec else plain
    return fitted


def _specs(ends: Sequence[IOMetadata]) -> dict[str, TensorSpec]:
    """Return specs by name. An empty shape means unknown: servers send it for both."""
    return {
        bare(end.name): TensorSpec(end.type.dtype, shape_spec(end.shape) or None, bare(end.name))
        for end in ends
        if end.type.dtype
    }


def _chosen(names: Sequence[str], specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    if not names:
        return tuple(specs.values())
    return tuple(specs[bare(name)] for name in names if bare(name) in specs)


def _default_names(known: _Description, count: int) -> list[str]:
    if count == len(known.outputs):
        return list(known.outputs)
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]

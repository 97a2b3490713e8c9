"""A model behind a server, called like one in this process, whatever protocol it speaks.

A module a protocol derives from :class:`RemoteModel`: `gpfn.models.graphpipe` and
`gpfn.models.oip`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

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
from gpfn.http.pending import Pending
from gpfn.models.hints import UNKNOWN, ServerMetadata, blame_caller, hinted
from gpfn.models.signature import Array, bare, find_name
from gpfn.tensors.cast import cast_to
from gpfn.tensors.spec import TensorSpec

__all__ = ["RemoteModel"]

_METADATA_SECONDS = 5.0
"""How long the server may take to send its metadata."""
_METADATA_KEPT_SECONDS = 60.0
"""How long its metadata are used before they are asked for again: the model may change."""
_BROKEN_SECONDS = 2.0
"""How long a server that could not tell them is not asked again."""
_SERVER_ERROR, _NOT_READY = 500, 503
_NOT_COMPUTED = (0, 400, 404, 422)
"""Statuses of a refusal: the server has computed nothing, and may have another model by now."""


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

    def _close_idle(self) -> None:
        """Close connections that nobody uses: a server that answers rubbish may have closed them.

        Calls under way go on: HTTP's have connections of their own.
        """
        self._disconnect()

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
        known = self._ready(deadline)
        try:
            return self._infer(inputs, outputs, known, deadline)
        except RefusedByModel as error:
            return self._after_refusal(error, inputs, outputs, known, deadline)
        except BrokenReply:
            self._close_idle()
            raise

    def begin_call(
        self, inputs: Mapping[str, Array], *, outputs: Sequence[str] = (), deadline: Deadline
    ) -> dict[str, Array] | Pending[dict[str, Array]]:
        """Compute all but the wait for the server, where that can be left to a loop.

        Returns what is given, or what it will be taken from. Raises as a call does.
        """
        known = self._ready(deadline)
        wanted, arrays, as_told = self._question(inputs, outputs, known)
        pending = self._begin(arrays, wanted, known, deadline)
        if pending is None:
            return self(inputs, outputs=outputs, deadline=deadline)

        def answer(finish: Callable[[], dict[str, Array]]) -> dict[str, Array]:
            try:
                came = finish()
                return self._checked(came, known) if as_told else came
            except RefusedByModel as error:
                if error.code:
                    return self._after_refusal(error, inputs, outputs, known, deadline)
                blame_caller(error, inputs, known)  # of a 200, which is finished on a loop
                raise
            except BrokenReply:
                self._close_idle()
                raise

        return pending.then(answer)

    def _ready(self, deadline: Deadline) -> ServerMetadata:
        if self._closed:
            raise ModelFailed(f"{self.name} is closed")
        deadline.check("inference")
        return self._described(deadline)

    def _after_refusal(
        self,
        error: RefusedByModel,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        """Ask once more if the model is another one by now; raise the refusal otherwise."""
        fresh = self._asked_again(known, deadline) if error.code in _NOT_COMPUTED else known
        if fresh == known:
            blame_caller(error, inputs, known)
            raise error
        try:
            return self._infer(inputs, outputs, fresh, deadline)
        except RefusedByModel as again:
            blame_caller(again, inputs, fresh)
            raise

    def _begin(
        self,
        arrays: dict[str, Array],  # noqa: ARG002 - for protocols that can
        outputs: Mapping[str, str],  # noqa: ARG002
        known: ServerMetadata,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> Pending[dict[str, Array]] | None:
        """Ask as `_ask` does, if that takes no waiting; None, and nothing was asked."""
        return None

    def _question(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], known: ServerMetadata
    ) -> tuple[dict[str, str], dict[str, Array], bool]:
        """Return the server's names of what is wanted, the arrays, and whether they are as told."""
        wanted: dict[str, str] = {}
        for given in tuple(outputs) or self._output_names:
            shown = find_name(given, known.output_names) or bare(given)
            wanted[shown] = known.output_names.get(shown, given)
        return wanted, *hinted(inputs, known)

    def _infer(
        self,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        wanted, arrays, as_told = self._question(inputs, outputs, known)
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
        if not self._expires.expired():  # as nearly always
            return self._description
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
                    self._close_idle()
                    code = getattr(error, "code", 0)
                    if code >= _SERVER_ERROR:  # it may tell in a moment, when it is ready
                        kept = 0.0 if code == _NOT_READY else _BROKEN_SECONDS
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


def _chosen(names: Sequence[str], specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    found = [find_name(name, specs) for name in names]
    return tuple(specs[name] for name in found if name) if names else tuple(specs.values())

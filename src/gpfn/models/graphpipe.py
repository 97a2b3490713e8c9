"""A model behind a GraphPipe server."""

import re
from collections.abc import Mapping, Sequence

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply
from gpfn.graphpipe.client import Client
from gpfn.graphpipe.messages import IOMetadata
from gpfn.http.pending import Pending
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.models.hints import UNKNOWN, ServerMetadata
from gpfn.models.remote import RemoteModel
from gpfn.models.signature import Array, find_name, plain_names, shape_spec
from gpfn.tensors.spec import TensorSpec

__all__ = ["GraphPipeModel"]

_GO_NAME = re.compile(r"(input|output)\d+")


class GraphPipeModel(RemoteModel):
    """A GraphPipe server; see `gpfn.models.remote`.

    Arrays of which no name is known to the server are sent without names, in their order.
    """

    backend = "graphpipe"

    def __init__(
        self,
        url: str,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        limits: Limits | None = None,
        config: str = "",
    ) -> None:
        """``config`` is sent with every request; what it means is the server's business.

        It may send a request on to another server. So outputs that are not asked for by name
        do not get the names that this server tells of itself.
        """
        self._client = Client(url, limits=limits or REPLY_LIMITS)
        self._config = config
        super().__init__(self._client.url, inputs, outputs)

    def _disconnect(self) -> None:
        self._client.close()

    def _metadata(self, deadline: Deadline) -> ServerMetadata:
        metadata = self._client.metadata(deadline=deadline)
        takes, gives = metadata.inputs, metadata.outputs
        return ServerMetadata(
            _specs(takes), _specs(gives), _given_names(takes), _given_names(gives)
        )

    def _ask(
        self,
        arrays: dict[str, Array],
        outputs: Mapping[str, str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        tensors = self._client.infer(
            self._named(arrays, known),
            output_names=tuple(outputs.values()),
            config=self._config,
            deadline=deadline,
            exact=False,
        )
        return self._by_name(tuple(outputs), tensors, UNKNOWN if self._config else known)

    def _begin(
        self,
        arrays: dict[str, Array],
        outputs: Mapping[str, str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> Pending[dict[str, Array]] | None:
        pending = self._client.begin(
            self._named(arrays, known),
            output_names=tuple(outputs.values()),
            config=self._config,
            deadline=deadline,
        )
        if pending is None:
            return None
        names, known = tuple(outputs), UNKNOWN if self._config else known
        return pending.then(lambda finish: self._by_name(names, finish(), known))

    @property
    def goes_on(self) -> bool:
        """Whether its outputs may be another server's, whose names it does not tell."""
        return bool(self._config)

    def _by_name(
        self, shown: Sequence[str], tensors: Sequence[Array], known: ServerMetadata
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

    def _named(
        self, arrays: dict[str, Array], known: ServerMetadata
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


def _default_names(known: ServerMetadata, count: int) -> list[str]:
    if count == len(known.output_names):
        return list(known.output_names)
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]

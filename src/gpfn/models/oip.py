"""A model behind a server of the Open Inference Protocol: Triton, KServe, MLServer, gpfn."""

from collections.abc import Mapping, Sequence

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.models.hints import ServerMetadata
from gpfn.models.remote import RemoteModel
from gpfn.models.signature import Array, bare, find_name, plain_names
from gpfn.oip.client import InferenceClient, model_address, model_path
from gpfn.tensors.spec import TensorSpec

__all__ = ["InferenceModel"]


class InferenceModel(RemoteModel):
    """A model by its URL, ``…/v2/models/NAME[/versions/VERSION]``; see `gpfn.models.remote`.

    The protocol has no tensors without names. Arrays of which no name is known to the server
    get its names, in their order, when they are as many as its inputs.
    """

    backend = "oip"

    def __init__(
        self,
        url: str,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Parse the URL. Raises SetupError for one that cannot be used.

        ``headers`` go along with every request, such as one with a token.
        """
        self._address = model_address(url)
        limits = limits or REPLY_LIMITS
        self._client = InferenceClient(self._address.server, limits=limits, headers=headers)
        place = model_path(self._address.model, self._address.version)
        super().__init__(self._client.url + place, inputs, outputs)

    def _disconnect(self) -> None:
        self._client.close()

    def _metadata(self, deadline: Deadline) -> ServerMetadata:
        _, model, version = self._address
        served = self._client.model_metadata(model, version=version, deadline=deadline)
        takes, gives = plain_names(served.names[0]), plain_names(served.names[1])
        return ServerMetadata(
            inputs=_by_name(served.inputs, takes),
            outputs=_by_name(served.outputs, gives),
            input_names={shown: name for name, shown in takes.items()},
            output_names={shown: name for name, shown in gives.items()},
            datatypes=served.datatypes,
        )

    def _ask(
        self,
        arrays: dict[str, Array],
        outputs: Mapping[str, str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        named = self._named(arrays, known)
        halves = {name: kind for name, kind in known.datatypes.items() if kind == "BF16"}
        _, model, version = self._address
        came = self._client.infer(
            model,
            named,
            version=version,
            outputs=tuple(outputs.values()),
            datatypes=halves,
            deadline=deadline,
        ).outputs
        if not outputs:
            shown = plain_names(came)
            order = [name for name in known.output_names.values() if name in came]
            return {shown[name]: came[name] for name in dict.fromkeys([*order, *came])}
        missing = [name for name in outputs.values() if name not in came]
        if missing:
            raise BrokenReply(f"{self.name}: {', '.join(missing)} was asked for and did not come")
        return {shown: came[name] for shown, name in outputs.items()}

    def _named(self, arrays: dict[str, Array], known: ServerMetadata) -> dict[str, Array]:
        """Return the arrays under the server's names."""
        found = {name: find_name(name, known.input_names) for name in arrays}
        theirs = self._input_names or tuple(known.input_names.values())
        if not any(found.values()) and len(arrays) == len(theirs):
            return dict(zip(theirs, arrays.values(), strict=True))
        return {
            known.input_names[match] if match else bare(name): arrays[name]
            for name, match in found.items()
        }


def _by_name(specs: Sequence[TensorSpec], shown: Mapping[str, str]) -> dict[str, TensorSpec]:
    return {
        shown[spec.name]: TensorSpec(spec.dtype, spec.shape, shown[spec.name]) for spec in specs
    }

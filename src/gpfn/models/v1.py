"""A model behind a server of V1: TF Serving, KServe, gpfn."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import quote, unquote

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply, RefusedByModel, SetupError
from gpfn.http.response import HttpResponse
from gpfn.http.site import Site
from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.models.hints import ServerMetadata
from gpfn.models.remote import RemoteModel
from gpfn.models.signature import Array, find_name
from gpfn.v1.predictions import encode_request
from gpfn.v1.replies import read_metadata, read_predictions, read_words

__all__ = ["PredictModel"]

_MODELS = "/v1/models/"
_JSON = (("Content-Type", "application/json"), ("Accept", "application/json"))


class PredictModel(RemoteModel):
    """A model by its URL, ``…/v1/models/NAME[/versions/NUMBER]``; see `gpfn.models.remote`.

    Rows go and come as JSON, so NaN cannot. Outputs that are not wanted come all the same, and
    are left out here.
    """

    backend = "v1"

    def __init__(
        self,
        url: str,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        limits: Limits | None = None,
        token: str = "",
    ) -> None:
        """Parse the URL. Raises SetupError for one that cannot be used."""
        server, _, rest = url.partition("?")[0].partition(_MODELS)
        names = rest.removesuffix(":predict").removesuffix("/").split("/")
        if (
            "?" in url
            or not all(names)
            or len(names) not in (1, 3)
            or names[1:2] not in ([], ["versions"])
        ):
            told = "expected …/v1/models/NAME or …/v1/models/NAME/versions/NUMBER; a / is %2F"
            raise SetupError(told, field="url")
        self._limits = limits or REPLY_LIMITS
        self._site = Site(server, token=token, limit=self._limits.body_bytes)
        self._place = _MODELS + "/".join(quote(unquote(name), safe="") for name in names)
        super().__init__(self._site.shown + self._place, inputs, outputs)

    def _disconnect(self) -> None:
        self._site.close()

    def _metadata(self, deadline: Deadline) -> ServerMetadata:
        reply = self._good(self._site.ask("GET", f"{self._place}/metadata", deadline=deadline))
        with self._broken():
            takes, gives = read_metadata(reply.body)
        return ServerMetadata(
            takes, gives, *({name: name for name in ends} for ends in (takes, gives))
        )

    def _ask(
        self,
        arrays: dict[str, Array],
        outputs: Mapping[str, str],
        known: ServerMetadata,
        deadline: Deadline,
    ) -> dict[str, Array]:
        body = encode_request(self._named(arrays, known))
        place = f"{self._place}:predict"
        reply = self._good(self._site.ask("POST", place, body, _JSON, deadline=deadline))
        with self._broken():
            came = read_predictions(reply.body, known.outputs, self._limits)
        missing = [name for name in outputs.values() if name not in came]
        if missing:
            raise BrokenReply(f"{self.name}: {', '.join(missing)} was asked for and did not come")
        return {shown: came[name] for shown, name in outputs.items()} if outputs else came

    def _named(self, arrays: dict[str, Array], known: ServerMetadata) -> dict[str, Array]:
        """Return the arrays under the server's names, by their order where none is known."""
        theirs = self._input_names or tuple(known.input_names)
        if not any(find_name(name, theirs) for name in arrays) and len(arrays) == len(theirs):
            return dict(zip(theirs, arrays.values(), strict=True))
        return arrays

    def _good(self, reply: HttpResponse) -> HttpResponse:
        if reply.status == 200:
            return reply
        told = f"{self.name}: {read_words(reply.body)} ({reply.status})"
        raise RefusedByModel(told, code=reply.status)

    @contextmanager
    def _broken(self) -> Iterator[None]:
        """Name the model in what is said of a reply that cannot be read."""
        try:
            yield
        except BrokenReply as error:
            raise BrokenReply(f"{self.name}: {error.detail}") from None

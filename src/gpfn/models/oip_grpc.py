"""A model behind a server of the Open Inference Protocol, asked over gRPC."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from gpfn.limits import REPLY_LIMITS, Limits
from gpfn.models.oip import InferenceModel
from gpfn.models.remote import RemoteModel
from gpfn.oip.grpc_client import GrpcInferenceClient, grpc_address

__all__ = ["GrpcInferenceModel"]


class GrpcInferenceModel(InferenceModel):
    """A model by its URL, ``grpc://host:8001/NAME[/versions/VERSION]``, or ``grpcs://`` with TLS.

    It is asked as `gpfn.models.oip` asks, by a client of the same methods.
    """

    backend = "oip-grpc"

    def __init__(
        self,
        url: str,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        """Parse the URL. Raises SetupError for one that cannot be used."""
        address = self._address = grpc_address(url)
        client: Any = GrpcInferenceClient(address.server, limits=limits or REPLY_LIMITS)
        self._client = client
        versions = f"/versions/{quote(address.version, safe='')}" if address.version else ""
        name = f"{client.url}/{quote(address.model, safe='')}{versions}"
        RemoteModel.__init__(self, name, inputs, outputs)

    def _close_idle(self) -> None:
        """Close nothing: all calls share one connection."""

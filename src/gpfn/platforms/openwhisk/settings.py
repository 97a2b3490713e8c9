"""How much a request to an action may hold, and its result."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.limits import Limits

__all__ = ["Settings"]

_MIB = 1 << 20
_ENVELOPE = 64 << 10  # what stands beside the parameters in /run
_INIT_BYTES = 64 * _MIB  # the platform lets 48 MiB of base64 through


class Settings(NamedTuple):
    """Bounds in bytes; the platform's own unless its operator has raised them there too.

    ``parameter_bytes`` is GPFN_MAX_BODY_BYTES, ``result_bytes`` GPFN_MAX_RESULT_BYTES.
    """

    parameter_bytes: int = _MIB
    result_bytes: int = _MIB

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Return the bounds; raises SetupError for what is no number."""
        text = environ.get("GPFN_MAX_RESULT_BYTES") or str(_MIB)
        if not text.isascii() or not text.isdigit() or int(text) == 0:
            field = "GPFN_MAX_RESULT_BYTES"
            raise SetupError(f"expected a whole number above 0, got {text!r}", field=field)
        return cls(Limits.from_env(environ, body_bytes=_MIB).body_bytes, int(text))

    @property
    def run_bytes(self) -> int:
        """The body of /run: the parameters, and what stands beside them."""
        return self.parameter_bytes + _ENVELOPE

    def limits(self, environ: Mapping[str, str] = os.environ) -> Limits:
        """Return the bounds for the server, which has to let /init through."""
        bounds = Limits.from_env(environ)
        return bounds._replace(body_bytes=max(_INIT_BYTES, self.run_bytes))

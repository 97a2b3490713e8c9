"""How much a request may ask for, in one value that is passed down to every parser."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from gpfn.settings import read_size, read_whole

__all__ = ["REPLY_LIMITS", "Limits"]

_KIB, _MIB = 1 << 10, 1 << 20


class Limits(NamedTuple):
    """Upper bounds; each is read from ``GPFN_MAX_<NAME>`` by :meth:`from_env`.

    A NamedTuple, not a dataclass: a runner needs it before its first reply, and
    importing dataclasses costs more than the rest of the runner together.
    """

    body_bytes: int = 6 * _MIB
    """A request's body after decoding; 6 MiB is what OCI Functions lets through."""
    header_bytes: int = 64 * _KIB
    """All header lines of a request together."""
    headers: int = 200
    """Number of header lines."""
    elements: int = 16 * _MIB
    """Numbers (or strings) in all tensors of a call together."""
    rank: int = 16
    """Dimensions of one tensor."""
    tensors: int = 64
    """Tensors in one call."""
    string_bytes: int = 4 * _MIB
    """Bytes in all strings of a call together."""
    pixels: int = 24_000_000
    """Width times height of an image; decoding it takes at most 4 bytes for each."""
    batch: int = 1000
    """Events in one batch."""
    rows: int = 100_000
    """Rows in one call of a function of rows."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **defaults: int) -> "Limits":
        """Return the limits with what the environment overrides; ``defaults`` come first.

        Raises SetupError with the variable's name for what is no number above 0.
        """
        values = {**cls._field_defaults, **defaults}
        for name, default in values.items():
            variable = f"GPFN_MAX_{name.upper()}"
            if name.endswith("_bytes"):
                values[name] = read_size(variable, default, environ=environ)
            else:
                values[name] = read_whole(variable, default, least=1, environ=environ)
        return cls(**values)


REPLY_LIMITS = Limits(
    body_bytes=256 * _MIB, elements=256 * _MIB, rank=32, tensors=1000, string_bytes=64 * _MIB
)
"""The default limits of a model server's reply to its client; those of a request are far lower."""

"""Data bytes and parsed JSON to NumPy arrays, and back, as a `TensorSpec` declares them.

The spec alone costs nothing; the codecs bring in NumPy when the first of them is used.
"""

from importlib import import_module

from gpfn.tensors.spec import DTYPES, TensorSpec

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 8 ms

if TYPE_CHECKING:
    from gpfn.tensors.cast import cast_to
    from gpfn.tensors.codec import Encoded, decode_bytes, encode
    from gpfn.tensors.json_forms import decode_json, form_of
    from gpfn.tensors.shapes import windows

__all__ = [
    "DTYPES",
    "Encoded",
    "TensorSpec",
    "cast_to",
    "decode_bytes",
    "decode_json",
    "encode",
    "form_of",
    "windows",
]

_HOME = {
    "Encoded": "gpfn.tensors.codec",
    "cast_to": "gpfn.tensors.cast",
    "decode_bytes": "gpfn.tensors.codec",
    "decode_json": "gpfn.tensors.json_forms",
    "encode": "gpfn.tensors.codec",
    "form_of": "gpfn.tensors.json_forms",
    "windows": "gpfn.tensors.shapes",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn.tensors' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value

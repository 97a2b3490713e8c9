"""Data bytes and parsed JSON to NumPy arrays, and back, as a `TensorSpec` declares them.

The spec alone costs nothing; the codecs bring in NumPy when the first of them is used.
"""

from importlib import import_module

from gpfn.tensors.spec import DTYPES, TensorSpec

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 8 ms

if TYPE_CHECKING:
    from gpfn.tensors.decoding import decode_bytes
    from gpfn.tensors.encoding import Encoded, encode
    from gpfn.tensors.fitting import fit
    from gpfn.tensors.jsonforms import decode_json, form_of
    from gpfn.tensors.windowing import windows

__all__ = [
    "DTYPES",
    "Encoded",
    "TensorSpec",
    "decode_bytes",
    "decode_json",
    "encode",
    "fit",
    "form_of",
    "windows",
]

_HOME = {
    "Encoded": "gpfn.tensors.encoding",
    "decode_bytes": "gpfn.tensors.decoding",
    "decode_json": "gpfn.tensors.jsonforms",
    "encode": "gpfn.tensors.encoding",
    "fit": "gpfn.tensors.fitting",
    "form_of": "gpfn.tensors.jsonforms",
    "windows": "gpfn.tensors.windowing",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn.tensors' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value

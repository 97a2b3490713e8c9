"""Models: named arrays in, named arrays out, whatever computes them.

    open                 which backend a URI asks for
    litert, onnx         model files in this process
    tensorflow           SavedModels and frozen graphs through TensorFlow's C library
    python, remote       a function; a GraphPipe server
    cache                the models of a process, open and warm before the first call
    catalogue, download  models known by name, and fetching them

Nothing is loaded until it is used, NumPy and the backends' libraries neither.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 8 ms

if TYPE_CHECKING:
    from gpfn.models.cache import Counters, ModelCache, WarmUp, default_cache, warm_up
    from gpfn.models.litert_graph import Quantization
    from gpfn.models.model import Model
    from gpfn.models.open import open_model
    from gpfn.models.python import PythonModel, declare
    from gpfn.models.threads import available_cpus

__all__ = [
    "Counters",
    "Model",
    "ModelCache",
    "PythonModel",
    "Quantization",
    "WarmUp",
    "available_cpus",
    "declare",
    "default_cache",
    "open_model",
    "warm_up",
]

_HOME = {
    "Counters": "cache",
    "Model": "model",
    "ModelCache": "cache",
    "PythonModel": "python",
    "Quantization": "litert_graph",
    "WarmUp": "cache",
    "available_cpus": "threads",
    "declare": "python",
    "default_cache": "cache",
    "open_model": "open",
    "warm_up": "cache",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gpfn.models' has no attribute {name!r}")
    value = getattr(import_module(f"gpfn.models.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

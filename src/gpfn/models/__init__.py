"""Models: named arrays in, named arrays out, whatever computes them.

    backends, open          the table of backends; opening a model by its URI
    filekind                which backend a file's content is for
    litert, onnx            model files in this process
    tensorflow              SavedModels and frozen graphs through TensorFlow's C library
    python                  a function
    remote, graphpipe, oip  a model behind a server; the protocols that those speak
    process                 a model in a process of its own; process_* are its parts
    vet                     a model tried in a process of its own, before it is opened here
    operators               a model that was sent: has it only what computes? The guards of
                            each format, tf_program and tf_operators are its parts
    foreign_files           files of other kinds: what they are, what helps
    batch_axis              may rows of several requests be one call of a model?
    cache                   the models of a process, open and warm before the first call
    description, catalogue  what is known of a model besides its file; models known by name
    files, store, download  where model files are kept; fetching them

Nothing is loaded before it is used: neither NumPy nor a backend's library.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost 8 ms

if TYPE_CHECKING:
    from gpfn.models.cache import Counters, ModelCache, WarmUp, default_cache, warm_up
    from gpfn.models.litert_graph import Quantization
    from gpfn.models.model import Model
    from gpfn.models.open import open_model
    from gpfn.models.process import ProcessModel
    from gpfn.models.python import PythonModel, declare
    from gpfn.models.threads import available_cpus
    from gpfn.models.vet import vet_model

__all__ = [
    "Counters",
    "Model",
    "ModelCache",
    "ProcessModel",
    "PythonModel",
    "Quantization",
    "WarmUp",
    "available_cpus",
    "declare",
    "default_cache",
    "open_model",
    "vet_model",
    "warm_up",
]

_MODULES = {
    "Counters": "cache",
    "Model": "model",
    "ModelCache": "cache",
    "ProcessModel": "process",
    "PythonModel": "python",
    "Quantization": "litert_graph",
    "WarmUp": "cache",
    "available_cpus": "threads",
    "declare": "python",
    "default_cache": "cache",
    "open_model": "open",
    "vet_model": "vet",
    "warm_up": "cache",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'gpfn.models' has no attribute {name!r}")
    value = getattr(import_module(f"gpfn.models.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

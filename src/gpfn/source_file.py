"""A Python file as a module: executed once, under a name of its loader's choice."""

import sys
from importlib.machinery import ModuleSpec, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["begin_in_file", "line_in", "load_module"]


def load_module(name: str, file: str) -> "ModuleType":
    """Execute ``file`` as the module ``name``, and return it.

    importlib.util has this in one call, and costs 3 ms to import. The module is registered
    before it runs, as for any import, and stays registered when it fails: what becomes of
    it then is for the caller to say. Raises what the file raises.
    """
    loader = SourceFileLoader(name, file)
    module = type(sys)(name)
    module.__file__ = file
    module.__loader__ = loader
    module.__spec__ = spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def begin_in_file(error: BaseException) -> None:
    """Cut the frames of whoever loaded a file off the trace of what the file raised.

    None is left of an error that is told by its text alone, such as a SyntaxError.
    """
    trace = error.__traceback__
    while trace is not None and _is_loader(str(trace.tb_frame.f_globals.get("__name__"))):
        trace = trace.tb_next
    error.__traceback__ = trace


def line_in(file: str, error: BaseException) -> str:
    """Return in which line a file raised an error, for its text; empty where that is not known."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


def _is_loader(name: str) -> bool:
    return name.startswith(("gpfn.", "importlib.", "_frozen_importlib")) or name == "importlib"

"""A model server on the loop server: many models, several protocols, one port.

A request passes from the bottom of this list to the top:

    engine       requests to one version -> calls of its model -> answers
    version      one version of a model: open, warm, timed
    library      all versions of a process
    keeper       opens, swaps and closes them until all is as wanted
    isolation    versions that hang, or end processes; supervision and board notice
    wanted       what is wanted: one list for all processes
    opener       what models are opened from; rowcache keeps computed rows, rowstore their file
    repository   models that are uploaded, and opened when they are asked for
    protocols    what clients speak, on the engine
    routing      from a path to a protocol
    service      what all requests share; knows no sockets
    loop         its socket and its event loop; settings has where it listens, and its bounds
    process      all of it as one call, from opening the models to SIGTERM; server in a block

The two names here are loaded when they are asked for: others use the router and the guard against
pages of other sites, and open no models.
"""

from importlib import import_module

TYPE_CHECKING = False

if TYPE_CHECKING:
    from gpfn.serving.server import Server
    from gpfn.serving.settings import ServerSettings

__all__ = ["Server", "ServerSettings"]

_MODULES = {"Server": "server", "ServerSettings": "settings"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'gpfn.serving' has no attribute {name!r}")
    value = getattr(import_module(f"gpfn.serving.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

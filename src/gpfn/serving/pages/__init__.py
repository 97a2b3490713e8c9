"""The repository in a browser: the models, what they answer, their versions and tags.

`views` are what a page shows and what it asks a repository for. `listing`, `model_page`,
`versions`, `trying` and `outputs` make HTML of them, with the words of `markup` and the drawings
of `plots`. `adapter` answers what is read, `changes` and `trials` what is sent, which `forms`
reads; `assets` and `netron` serve files, `history` remembers an hour.

The server's HTML is the page. The script only spares reloads.

The names here are loaded when they are asked for: the console of ``gpfn dev`` has the same words
and drawings, and no models.
"""

from importlib import import_module

TYPE_CHECKING = False

if TYPE_CHECKING:
    from gpfn.serving.pages.adapter import RepositoryPages
    from gpfn.serving.pages.history import History
    from gpfn.serving.pages.views import Shown

__all__ = ["History", "RepositoryPages", "Shown"]

_MODULES = {"History": "history", "RepositoryPages": "adapter", "Shown": "views"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'gpfn.serving.pages' has no attribute {name!r}")
    value = getattr(import_module(f"gpfn.serving.pages.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

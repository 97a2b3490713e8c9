"""From what a user calls a model (a name, a file, a folder, an address) to what is opened."""

import os

from gpfn.cli.progress import DownloadProgress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.hosts.target import Target

__all__ = ["fetched", "is_address", "model_uri", "pull_models"]

_FETCH_SECONDS = 60.0  # as long as graphpipe-tf gives a model's address


def model_uri(name: str) -> str:
    """Return the URI that `gpfn.models.open_model` opens for what a user calls a model.

    A file or folder comes before a name or an alias of the catalogue. A file of the catalogue
    is fetched when it is not on this machine yet, and so is an address that ends like a model
    file. Any other address is a model server's.
    """
    from gpfn.models.open import split_uri

    if is_address(name):
        return fetched(name) if _ends_like_a_model(name) else name
    place = split_uri(name)[0]
    if os.path.exists(name) or os.path.exists(place):
        return name
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain_model

    if place != name and place in default_catalogue():
        return model_uri(place) + name[len(place) :]
    if name not in default_catalogue():
        return name
    return str(obtain_model(default_catalogue().get(name), progress=DownloadProgress()))


def is_address(name: str) -> bool:
    """Say whether it begins as an http(s) URL does."""
    return name.lower().startswith(("http://", "https://"))


def fetched(url: str) -> str:
    """Return the file at an address, which may end in ``?signature=`` and ``#sha256=``.

    The signature, if any, stands behind the file then. Raises DownloadFailed.
    """
    from gpfn.models.download import Terms
    from gpfn.models.open import split_uri
    from gpfn.models.store import fetch_url

    terms = Terms.from_env(total=_FETCH_SECONDS)
    asked = f"?signature={signature}" if (signature := split_uri(url)[1]) else ""
    whole = url.replace(asked, "", 1) if asked else url
    return f"{fetch_url(whole, terms=terms, progress=DownloadProgress())}{asked}"


def _ends_like_a_model(url: str) -> bool:
    from urllib.parse import urlsplit

    from gpfn.models.backends import backend_by_address, backend_by_suffix, installed_backends

    path = urlsplit(url).path
    served = backend_by_address(url)
    if not os.path.splitext(path)[1] or (served and served.path):
        return False
    return bool(backend_by_suffix(path) or backend_by_suffix(path, installed_backends()))


def pull_models(target: "Target", request: bytes = b"") -> None:
    """Fetch the catalogue's models that a function needs for a request, unless they are here.

    A runner never downloads, so this goes before starting one. Needed are the first of the
    models that the function may use, and any other whose name is in the request. Raises
    DownloadFailed.
    """
    from gpfn.build.models import ask_models, catalogue_names
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.files import cached_path
    from gpfn.models.store import obtain, obtain_model

    models = ask_models(target.file, target.environ())
    names = catalogue_names(models)
    wanted = [name for name in names if name == names[0] or name.encode() in request]
    for entry in map(default_catalogue().get, wanted):
        for file in entry.files:
            if cached_path(file) is None and not (target.folder / file.name).is_file():
                obtain(file, progress=DownloadProgress())
        if not (target.folder / entry.model.name).is_file():
            obtain_model(entry)

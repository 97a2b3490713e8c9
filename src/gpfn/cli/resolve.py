"""From what a user calls a model (a name, a file, a folder, an address) to what is opened."""

import os

from gpfn.cli.progress import DownloadProgress
from gpfn.errors import BackendError, ModelUnreadable, SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.hosts.target import Target
    from gpfn.http.site import Site

__all__ = ["fetched", "is_address", "model_uri", "pull_models"]

_FETCH_SECONDS = 60.0  # as long as graphpipe-tf gives a model's address
_ASK_SECONDS = 10.0
_LISTED = 20


def model_uri(name: str, token: str = "") -> str:
    """Return the URI that `gpfn.models.open_model` opens for what a user calls a model.

    A file or folder comes before a name or an alias of the catalogue; the folder of a function
    stands for its func.py. A file of the catalogue
    is fetched when it is not on this machine yet, and so is an address that ends like a model
    file. Any other address is a model server's: of one model, or ``URL/NAME`` of a server of
    several, which is asked for it, with the token if there is one.
    """
    from gpfn.models.open import split_uri

    if is_address(name):
        return fetched(name) if _ends_like_a_model(name) else _served(name, token)
    place = split_uri(name)[0]
    if os.path.isfile(function := os.path.join(name, "func.py")):
        return function
    if os.path.exists(name) or os.path.exists(place):
        return name
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain_model

    if place != name and place in default_catalogue():
        return model_uri(place) + name[len(place) :]
    if name not in default_catalogue():
        _suggest(name)
        return name
    return str(obtain_model(default_catalogue().get(name), progress=DownloadProgress()))


def _suggest(name: str) -> None:
    """Raise ModelUnreadable for a word that is nearly a name of the catalogue."""
    from gpfn.cli.usage import did_you_mean
    from gpfn.models.catalogue import default_catalogue

    known = [word for one in default_catalogue() for word in (one.name, *one.aliases)]
    plain = not set(name).intersection("/\\:.?#")
    if plain and (hint := did_you_mean(name, known)):
        raise ModelUnreadable(f"no such file, and no model by its name: {name}{hint}")


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


def _served(url: str, token: str) -> str:
    """Return the address of a model's protocol for ``URL/NAME[@VERSION]``, where it is one.

    Without ``@`` it may as well be the address of a GraphPipe server, so the server is asked
    whether it has such a model. A tag is resolved here, once.
    """
    from urllib.parse import urlsplit

    from gpfn.http.site import Site
    from gpfn.models.backends import backend_by_address
    from gpfn.repository.client import model_reference
    from gpfn.repository.names import LATEST

    path = urlsplit(url).path
    addressed = backend_by_address(url)
    if not path.strip("/") or "/graphpipe/" in path or (addressed and addressed.path):
        return url
    tagged = "@" in path.rpartition("/")[2]
    try:
        server, model, version = model_reference(url)
    except SetupError:
        if tagged:
            raise
        return url
    place = f"/v2/models/{model}"
    if not tagged:
        try:
            site = Site(server, token=token, timeout=_ASK_SECONDS)
            known = site.ask("GET", place)
            if known.status == _ABSENT:
                _refuse_absent(site, model)
        except BackendError:
            return url
        return f"{server}{place}" if known.status in _KNOWN else url
    if version == LATEST:
        return f"{server}{place}"
    number = version if version.isdigit() else _tagged(server, model, version, token)
    return f"{server}{place}/versions/{number}"


_KNOWN = (200, 401, 403)  # whoever wants a token first speaks the protocol
_ABSENT = 404


def _refuse_absent(site: "Site", model: str) -> None:
    """Raise SetupError with the names that a server has, where it lists them and lacks this one.

    A server without such a list speaks another protocol, which is asked in its own way.
    """
    import json

    from gpfn.cli.usage import did_you_mean

    reply = site.ask("POST", "/v2/repository/index", b"{}")
    try:
        rows = json.loads(bytes(reply.body)) if reply.status == 200 else None
    except (ValueError, RecursionError):
        return  # no such list; the protocol that is left will say more
    if not isinstance(rows, list):
        return
    names = [str(row["name"]) for row in rows if isinstance(row, dict) and "name" in row]
    listed = ", ".join(sorted(set(names))[:_LISTED]) or "none"
    hint = did_you_mean(model, names) or f"; it has {listed}"
    raise SetupError(f"{site.shown} serves no model {model!r}{hint}", field="model")


def _tagged(server: str, model: str, tag: str, token: str) -> int:
    """Return the version that a tag leads to."""
    from gpfn.repository.client import RepositoryClient

    with RepositoryClient(server, token=token) as client:
        history = client.model(model)
    if tag not in history.tags:
        known = ", ".join(sorted(history.tags)) or "none"
        raise SetupError(f"{model} has no tag {tag!r}; there are {known}", field="model")
    return history.tags[tag]


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

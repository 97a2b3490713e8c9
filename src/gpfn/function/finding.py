"""Finding a function's model: it is the first of its candidates that is there."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gpfn.errors import ModelUnreadable

__all__ = ["find_model"]


def find_model(candidates: Sequence[str], folder: str) -> str:
    """Return the first candidate that is set, as a URI that open_model takes.

    ``env:NAME`` counts when the variable is set and not empty, ``secret:NAME`` when there is
    such a secret; its value is used like a candidate. A relative file is looked for in
    ``folder``, then in the working directory; that of ``catalogue:NAME`` there as well, then
    where ``gpfn models pull`` puts it. URLs and ``module:callable`` are taken as they are.

    Raises ModelUnreadable when there is none; the detail lists what was tried.
    """
    tried = []
    for candidate in candidates:
        uri, problem = _resolve(candidate, folder)
        if uri is not None:
            return uri
        tried.append(problem)
    raise ModelUnreadable("no model found: " + "; ".join(tried), field="model")


def _resolve(candidate: str, folder: str) -> tuple[str | None, str]:
    if candidate.startswith("env:"):
        name = candidate[4:]
        candidate = os.environ.get(name, "").strip()
        if not candidate:
            return None, f"{name} is not set"
        if not candidate.startswith("secret:"):
            return _located(candidate, folder) or candidate, ""
    if candidate.startswith("secret:"):
        from gpfn.secrets import try_secret

        value, problem = try_secret(candidate)
        return (_located(value, folder) or value if value else None), problem
    if candidate.startswith("catalogue:"):
        end = _end_of_path(candidate)
        uri, problem = _from_catalogue(candidate[10:end], folder)
        return None if uri is None else uri + candidate[end:], problem
    uri = _located(candidate, folder)
    return uri, f"{candidate} is neither in {folder} nor in the working directory"


def _from_catalogue(name: str, folder: str) -> tuple[str | None, str]:
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.files import local_path

    file = default_catalogue().get(name).model
    beside = _located(file.name, folder)
    if beside is not None:
        return beside, ""
    try:
        return str(local_path(name, file)), ""
    except ModelUnreadable as error:
        return None, error.detail


def _located(uri: str, folder: str) -> str | None:
    path = uri[: _end_of_path(uri)]
    for base in dict.fromkeys((folder, os.getcwd())):
        full = os.path.join(base, path)
        if os.path.exists(full):
            return full + uri[len(path) :]
    return uri if "://" in uri or _is_callable(uri) else None


def _end_of_path(uri: str) -> int:
    """Return where the path ends: what follows is a callable, a signature or a checksum."""
    from gpfn.models.open import split_uri

    script = uri.find(".py:")
    return script + 3 if script >= 0 else len(split_uri(uri)[0])


def _is_callable(uri: str) -> bool:
    module, colon, name = uri.partition(":")
    parts = [*module.split("."), *name.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)

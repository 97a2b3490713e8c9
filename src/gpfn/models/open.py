"""Opening a model by its URI: an address, a file, a folder, or the name of a function."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Literal

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.limits import Limits
from gpfn.models.backends import (
    BACKENDS,
    Backend,
    accepted,
    backend_by_address,
    backend_by_ending,
    backend_by_folder,
    backend_by_spelling,
    backend_by_suffix,
    installed_backends,
)
from gpfn.models.model import Model
from gpfn.models.threads import thread_count

__all__ = [
    "backend_of",
    "open_model",
    "open_with_token",
    "signatures_of",
    "split_uri",
    "with_signature",
]

_HASH, _SIGNATURE = "#sha256=", "?signature="


def open_model(
    uri: "str | os.PathLike[str]",
    *,
    threads: int | Literal["auto"] = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    signature: str = "",
    limits: Limits | None = None,
    settings: Mapping[str, str] | None = None,
) -> Model:
    """Open the model that ``uri`` names, with the backend that its kind asks for.

    Args:
        uri: What one of `gpfn.models.backends.BACKENDS` opens. A file or
            a folder may be followed by ``#sha256=`` and the hash that all its files have to
            have, as `gpfn.models.parts.model_digest` and ``gpfn models show`` tell it.
        threads: For one call; ``auto`` is what CPU affinity and the cgroup allow.
        inputs: Names of all inputs in the order wanted. For TensorFlow and remote
            models any tensors may be named.
        outputs: Names of the outputs wanted when a call asks for none in particular.
        signature: Which of several signatures; by default the one that ``uri`` names as
            ``?signature=NAME`` behind the file or folder, serving_default, or the only one.
        limits: On a remote model's replies; by default `Limits()`.
        settings: Variables that the environment has besides, while a function's file is
            loaded and opened; any other kind of model has none.

    Raises:
        ModelUnreadable: The file is absent, empty, cut off, or of another kind.
        MissingExtra: The backend is not installed; the message is the command.
        SetupError: Anything else that is wrong with the configuration.
    """
    count = thread_count(threads)
    name = os.fspath(uri)
    backend = backend_of(name)
    target, named, digest = (name, "", "") if backend.schemes else split_uri(name)
    if digest:
        _check_hash(target, digest)
    if named and signature not in ("", named):
        raise _other(signature, named)
    signature = signature or named
    if signature and "signature" not in backend.options:
        raise SetupError(f"{backend.title} has no signatures: {target}", field="signature")
    for option, names in (("inputs", inputs), ("outputs", outputs)):
        if names and option not in backend.options:
            raise SetupError(f"{backend.title} takes no names of {option}: {target}", field=option)
    options = {
        "threads": count,
        "inputs": inputs,
        "outputs": outputs,
        "signature": signature,
        "limits": limits,
        "settings": settings or {},
    }
    module, _, opener = backend.opens.partition(":")
    taken = {name: options[name] for name in backend.options}
    model: Model = getattr(import_module(module), opener)(target, **taken)
    return model


def open_with_token(uri: str, *, threads: int | Literal["auto"] = 1, token: str = "") -> Model:
    """Open a model; a server that knows tokens is asked with ``token``, if there is one.

    Raises as :func:`open_model`.
    """
    kind = backend_of(uri).kind if token else ""
    if kind == "oip":
        from gpfn.models.oip import InferenceModel

        return InferenceModel(uri, headers={"Authorization": f"Bearer {token}"})
    if kind == "v1":
        from gpfn.models.v1 import PredictModel

        return PredictModel(uri, token=token)
    if kind == "tfaas":
        from gpfn.models.tfaas import TfaasModel

        return TfaasModel(uri, token=token)
    return open_model(uri, threads=threads)


def backend_of(uri: "str | os.PathLike[str]") -> Backend:
    """Return the backend of a model: of an address, a file, a folder, or a function's name.

    A file is recognised by its content, of which no more than the frame is read.

    Raises ModelUnreadable when the file is absent, empty, cut off, or of another kind than
    its suffix says, and for everything that no backend opens.
    """
    name = os.fspath(uri)
    path = split_uri(name)[0]
    found = _find(name, path, BACKENDS) or _find(name, path, installed_backends())
    if found is None:
        raise _refusal(path)
    return found


def _find(name: str, path: str, rows: Sequence[Backend]) -> Backend | None:
    is_address = "://" in name
    if is_address and (addressed := backend_by_address(name, rows)):
        return addressed
    if os.path.isdir(path):
        return backend_by_folder(path, rows)
    if not is_address and (ending := backend_by_ending(path, rows)):
        return ending
    there = os.path.exists(path)
    if not there and not is_address and (spelled := backend_by_spelling(path, rows)):
        return spelled
    if there or (not is_address and backend_by_suffix(path, rows)):
        from gpfn.models.filekind import recognise

        return recognise(path, rows)  # which says what is wrong with an absent file
    return None


def _refusal(path: str) -> ModelUnreadable:
    from gpfn.models.foreign_files import is_foreign_name

    if os.path.isdir(path):
        told = f"a directory without saved_model.pb, so not a SavedModel: {path}"
    elif os.path.exists(path):
        from gpfn.models.filekind import describe

        told = describe(path)
    elif is_foreign_name(path) and "://" not in path:
        told = f"no such file: {path}"
    else:
        told = f"no such file, and no model by its name: {path}; accepted: {accepted()}"
    return ModelUnreadable(told)


def split_uri(uri: str) -> tuple[str, str, str]:
    """Return the place, the signature and the hash that ``PLACE?signature=NAME#sha256=HEX`` names.

    What is left out is empty. Raises SetupError for a signature without a name.
    """
    rest, _, digest = uri.partition(_HASH)
    place, mark, signature = rest.rpartition(_SIGNATURE)
    if mark and not signature:
        raise SetupError(f"expected a name behind {_SIGNATURE}: {uri}", field="signature")
    return (place, signature, digest) if mark else (rest, "", digest)


def with_signature(uri: str, signature: str) -> str:
    """Return a URI that names a signature too; the same URI when ``signature`` is empty.

    Raises SetupError for the address of a server, which computes with one of its own choice,
    and when the URI names another signature.
    """
    if not signature:
        return uri
    if backend_by_address(uri) is not None:
        raise SetupError(f"a server's model has no signatures: {_shown(uri)}", field="signature")
    place, named, digest = split_uri(uri)
    if named not in ("", signature):
        raise _other(signature, named)
    return f"{place}{_SIGNATURE}{signature}{_HASH if digest else ''}{digest}"


def signatures_of(uri: "str | os.PathLike[str]") -> tuple[str, ...]:
    """Return the names of a model's signatures, as its files have them; often there are none.

    Raises as :func:`backend_of`, and ModelUnreadable for a damaged file.
    """
    name = os.fspath(uri)
    backend = backend_of(name)
    if not backend.signatures:
        return ()
    module, _, function = backend.signatures.partition(":")
    found: tuple[str, ...] = getattr(import_module(module), function)(split_uri(name)[0])
    return found


def _shown(uri: str) -> str:
    from gpfn.http.address import shown_url

    return shown_url(uri)


def _other(signature: str, named: str) -> SetupError:
    return SetupError(f"{signature!r}, but the model's URI names {named!r}", field="signature")


def _check_hash(path: str, wanted: str) -> None:
    """Raise unless the model's files, all of them, have the hash that its URI names."""
    if not os.path.exists(path):
        raise SetupError("a function has no sha256", field="model")
    from gpfn.models.parts import model_digest

    found = model_digest(path)
    if found != wanted.lower():
        raise ModelUnreadable(f"expected the SHA-256 {wanted}, found {found}: {path}")

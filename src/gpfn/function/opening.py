"""Opening a function's model, once: finding it, loading it, and the first call.

Which model a function uses is the first of its candidates that is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from gpfn.call.contract import Opened
from gpfn.call.pipeline import Stages
from gpfn.errors import GpfnError, ModelUnreadable, SetupError
from gpfn.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.deadline import Deadline
    from gpfn.models.model import Model

    Threads = int | Literal["auto"]

__all__ = ["feed", "find_model", "match_inputs", "open_and_warm", "predictor", "preload"]


def find_model(candidates: Sequence[str], folder: str) -> str:
    """Return the first candidate that is set, as a URI that open_model takes.

    ``env:NAME`` counts when the variable is set and not empty; its value is used like a
    candidate. A relative file is looked for in ``folder``, then in the working
    directory. ``catalogue:NAME`` is the catalogue's file, looked for there as well, then
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
        value = os.environ.get(name, "").strip()
        if not value:
            return None, f"{name} is not set"
        return _located(value, folder) or value, ""
    if candidate.startswith("catalogue:"):
        return _from_catalogue(candidate[10:], folder)
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
    """Return where the path ends: what follows is a file.py's callable, or a checksum."""
    script = uri.find(".py:")
    return script + 3 if script >= 0 else len(uri.partition("#")[0])


def _is_callable(uri: str) -> bool:
    module, colon, name = uri.partition(":")
    parts = [*module.split("."), *name.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)


def open_and_warm(
    candidates: Sequence[str], folder: str, threads: Threads, limits: Limits
) -> tuple[Model, Opened]:
    """Find a model as find_model does; return it from the process-wide cache, open and warm.

    Loading is all of it but the first call: finding the file and importing the backend and
    numpy count. One that is there already costs no time. Raises SetupError or BackendError.
    """
    began = time.perf_counter()
    from gpfn.models.cache import default_cache
    from gpfn.models.open import open_model

    uri = find_model(candidates, folder)
    loaded_at, loaded_bytes = 0.0, 0

    def opener() -> Model:
        nonlocal loaded_at, loaded_bytes
        model = open_model(uri, threads=threads, limits=limits)
        loaded_at = time.perf_counter()
        loaded_bytes = 0 if Stages.probe is None else Stages.probe()
        return model

    model = default_cache().get(uri if threads == 1 else f"{uri} threads={threads}", opener)
    if not loaded_at:
        return model, Opened(uri=_shown(uri))
    warmup_seconds = time.perf_counter() - loaded_at
    return model, Opened(loaded_at - began, warmup_seconds, _shown(uri), loaded_bytes)


def _shown(uri: str) -> str:
    if "://" not in uri:
        return uri
    from gpfn.http.address import shown_url

    return shown_url(uri)


def preload(
    takes: str,
    on_open: Callable[[Model | None], object] | None = None,
    model: Model | None = None,
) -> float:
    """Load the codecs that the first call would wait for, and let the function do the same.

    Whatever is taken, the answer is JSON. A function of payloads or messages may never need
    another codec, and is not kept waiting. Returns the seconds that took; raises what
    ``on_open`` raises.
    """
    began = time.perf_counter()
    import orjson  # noqa: F401

    if takes in ("arrays", "event"):
        from gpfn.events.modes import read, write  # noqa: F401
    if takes == "arrays":
        from gpfn.tensors.codec import encode  # noqa: F401
        from gpfn.tensors.json_forms import decode_json  # noqa: F401
    if on_open is not None:
        on_open(model)
    return time.perf_counter() - began


def match_inputs(declared: Sequence[str], model: Model) -> dict[str, str]:
    """Return which declared input feeds which input of the model: by name, else by order.

    A remote model is not asked: a function may start before its model server, and with
    names that the server does not know it does what it can. Raises SetupError when the
    numbers differ.
    """
    if declared and model.backend == "graphpipe":
        return {name: name for name in declared}
    names = [spec.name for spec in model.inputs]
    if not names:  # a Python function that declares nothing
        return {name: name for name in declared}
    if not declared or set(declared) == set(names):
        return {name: name for name in names}
    if len(declared) != len(names):
        raise SetupError(
            f"the function declares {', '.join(declared)}, but {model.name} takes"
            f" {', '.join(names)}",
            field="inputs",
        )
    return dict(zip(declared, names, strict=True))


def predictor(
    model: Model, fed_by: Mapping[str, str], output: str | None
) -> Callable[[object, Deadline], object]:
    """Return what asks the model for ``output`` (for all of them when None)."""
    outputs = () if output is None else (output,)

    def predict(value: object, deadline: Deadline) -> object:
        return model(feed(value, fed_by), outputs=outputs, deadline=deadline)

    return predict


def feed(value: object, inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return what the model is called with: ``value`` under the model's names.

    ``value`` is what was decoded or what ``before`` returned: a mapping by declared or by
    the model's names, one array, or a sequence of arrays in declared order.
    """
    if not isinstance(value, Mapping):
        values = value if isinstance(value, list | tuple) else (value,)
        value = dict(zip(inputs, values, strict=False))
    fed = {inputs.get(name, name): array for name, array in value.items()}
    if set(fed) != set(inputs.values()):
        raise GpfnError(f"the model takes {', '.join(inputs.values())}, not {', '.join(fed)}")
    return fed

"""Opening a function's model, once: loading it, and the first call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from gpfn.call.contract import Opened
from gpfn.call.costs import Stages
from gpfn.errors import GpfnError, SetupError
from gpfn.function.finding import find_model
from gpfn.hidden import hidden
from gpfn.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np

    from gpfn.deadline import Deadline
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

    Threads = int | Literal["auto"]

__all__ = ["feed", "match_inputs", "open_and_warm", "predictor", "preload"]


def open_and_warm(
    candidates: Sequence[str], folder: str, threads: Threads, limits: Limits, signature: str = ""
) -> tuple[Model, Opened]:
    """Find a model as find_model does; return it from the process-wide cache, open and warm.

    Loading is all of it but the first call: finding the file and importing the backend and
    numpy count. One that is there already costs no time. Raises SetupError or BackendError.
    """
    began = time.perf_counter()
    from gpfn.models.cache import WarmUp, default_cache
    from gpfn.models.open import open_model, with_signature

    uri = find_model(candidates, folder)
    if "://" not in uri:
        uri = with_signature(uri, signature)
    loaded_at, loaded_bytes, warmth = 0.0, 0, WarmUp()

    def opener() -> Model:
        nonlocal loaded_at, loaded_bytes
        model = open_model(uri, threads=threads, limits=limits)
        loaded_at = time.perf_counter()
        loaded_bytes = 0 if Stages.probe is None else Stages.probe()
        return model

    def warmed(told: WarmUp) -> None:
        nonlocal warmth
        warmth = told

    name = uri if threads == 1 else f"{uri} threads={threads}"
    model = default_cache().get(name, opener, warmed=warmed)
    if not loaded_at:
        return model, Opened(uri=_shown(uri))
    warmup_seconds = time.perf_counter() - loaded_at
    failure = "" if warmth.error is None else f"{type(warmth.error).__name__}: {warmth.error}"
    return model, Opened(loaded_at - began, warmup_seconds, _shown(uri), loaded_bytes, failure)


def _shown(uri: str) -> str:
    if "://" not in uri:
        return hidden(uri)
    from gpfn.http.address import shown_url

    return hidden(shown_url(uri))


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
    import gpfn.json_exact  # noqa: F401

    if takes in ("arrays", "rows", "event"):
        from gpfn.events.modes import read, write  # noqa: F401
    if takes == "arrays":
        from gpfn.tensors.codec import encode  # noqa: F401
        from gpfn.tensors.json_forms import decode_json  # noqa: F401
    if takes == "rows":
        from gpfn.call.rows import decode_rows, encode_rows  # noqa: F401
    if on_open is not None:
        on_open(model)
    return time.perf_counter() - began


def match_inputs(
    declared: Sequence[str] | Sequence[TensorSpec], model: Model, *, checked: bool = True
) -> dict[str, str]:
    """Return which declared input feeds which input of the model: by name, else by order.

    A remote model is not asked: a function may start before its model server, and with
    names that the server does not know it does what it can. Specs that are ``checked``, because
    nothing comes between them and the model, have to agree with its own in rank, fixed sizes
    and kind. Raises SetupError when the numbers differ, when some names are the model's and
    others are not, and when specs disagree.
    """
    from gpfn.models.backends import is_remote

    specs = {each if isinstance(each, str) else each.name: each for each in declared}
    if specs and is_remote(model.backend):
        return {name: name for name in specs}
    known = {spec.name: spec for spec in model.inputs}
    if not known:  # a Python function that declares nothing
        return _by_parameters(list(specs), model)
    if not specs or specs.keys() == known.keys():
        fed_by = {name: name for name in known}
    elif len(specs) != len(known) or not specs.keys().isdisjoint(known):
        raise SetupError(
            f"the function declares {', '.join(specs)}, but {model.name} takes {', '.join(known)}",
            field="inputs",
        )
    else:
        fed_by = dict(zip(specs, known, strict=True))
    for name, each in specs.items():
        if checked and not isinstance(each, str):
            _check_agreement(name, each, known[fed_by[name]])
    return fed_by


def _by_parameters(names: Sequence[str], model: Model) -> dict[str, str]:
    """Return which parameter of a plain function each name feeds: its own, else by order."""
    names_for = getattr(model, "names_for", None)
    parameters = names_for(len(names)) if names_for else ()
    numbered = any(each.startswith("input_") for each in parameters)  # it takes any names
    if numbered or len(parameters) != len(names) or not {*parameters}.isdisjoint(names):
        return {name: name for name in names}
    return dict(zip(names, parameters, strict=True))


def _check_agreement(name: str, declared: TensorSpec, taken: TensorSpec) -> None:
    """Raise SetupError unless some array fits both: every call would be refused."""
    odd = ("string", "bool")
    agree = declared.dtype == taken.dtype or not {declared.dtype, taken.dtype}.intersection(odd)
    if {declared.dtype, taken.dtype} == {"bool", "uint8"}:
        agree = True
    if declared.shape is not None and taken.shape is not None:
        agree = agree and len(declared.shape) == len(taken.shape)
        pairs = zip(declared.shape, taken.shape, strict=False)
        agree = agree and all(None in pair or pair[0] == pair[1] for pair in pairs)
    if not agree:
        from gpfn.tensors.shapes import spec_text

        told = f"the function declares {spec_text(declared)}, but the model takes"
        raise SetupError(f"{told} {spec_text(taken)}", field=f"inputs.{name}")


def predictor(
    model: Model, fed_by: Mapping[str, str], output: str | None
) -> Callable[[object, Deadline], object]:
    """Return what asks the model for ``output`` (for all of them when None).

    Strings come as text where they are UTF-8, as bytes where not. Raises SetupError when the
    model is known to have no such output.
    """
    from gpfn.models.backends import is_remote
    from gpfn.models.signature import find_name, reason, text_where_utf8

    remote = is_remote(model.backend)
    ends = [] if remote else [spec.name for spec in model.outputs]
    outputs = (output,) if output is not None and (ends or remote) else ()
    if output is not None and ends and find_name(output, ends) is None:
        gives = getattr(model, "gives", None)
        if gives is None or not gives(output):
            told = f"{model.name} gives {', '.join(ends)}, not {output}"
            raise SetupError(reason(output, getattr(model, "left_out", {})) or told, field="output")

    is_told = bool(fed_by) and (remote or bool(model.inputs))

    def predict(value: object, deadline: Deadline) -> object:
        fed = feed(value, fed_by) if is_told else _passed(value, fed_by, model)
        results = model(fed, outputs=outputs, deadline=deadline)
        if output is not None and not outputs:  # of a plain function, known only now
            found = find_name(output, results)
            if found is None:
                told = f"{model.name} gives {', '.join(results)}, not {output}"
                raise SetupError(told, field="output")
            results = {found: results[found]}
        for array in results.values():
            if array.dtype.kind in "OS":
                return {name: text_where_utf8(array) for name, array in results.items()}
        return results

    return predict


def _passed(value: object, fed_by: Mapping[str, str], model: Model) -> dict[str, np.ndarray]:
    """Return what a model that declares no inputs is called with: arrays without names by order."""
    if not isinstance(value, Mapping):
        values = value if isinstance(value, list | tuple) else (value,)
        names_for = getattr(model, "names_for", None)
        numbered = (f"input_{index}" for index in range(len(values)))
        value = dict(zip(names_for(len(values)) if names_for else numbered, values, strict=True))
    return {fed_by.get(name, name): array for name, array in value.items()}


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

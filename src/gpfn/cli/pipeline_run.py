"""``gpfn pipeline run``: start what does not run, compute once, show what each stage gives.

A stage that runs already is used as it is. But what it does has to fit: another server at its
address, or one that goes on to another server when nobody expects it, or does not when somebody
does, would give another answer than the pipeline's without a word.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.pipeline import Pipeline
    from gpfn.pipelines import Launch, Placement
    from gpfn.pipelines.asking import ServedStage
    from gpfn.tensors.spec import TensorSpec

    _Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = ["add_run_arguments", "given_inputs", "run"]

_GOES_ON = "pipeline"
"""The platform that a server tells whose model's outputs go on to another server."""
_MOST_SHOWN, _EDGE, _MOST_NAMED = 1000, 3, 8
_OPEN = 2


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is run, where, and with what."""
    from gpfn.cli.pipeline import add_file_arguments, add_input_argument

    add_file_arguments(parser)
    add_input_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Start what is missing, compute, print, end what was started."""
    from gpfn.models.pipeline import read_pipeline
    from gpfn.pipelines import StageProcesses, place_stages
    from gpfn.pipelines.measuring import open_entry

    file = read_pipeline(args.file)
    placement = place_stages(file, args.place)
    with StageProcesses(_absent(placement)) as stages:
        stages.start()
        pipeline = open_entry(placement, file.name)
        try:
            inputs = given_inputs(args.input, pipeline.inputs)
            steps = _computed(pipeline, inputs)
        finally:
            pipeline.close()
    show = _print_json if args.json else _print
    show(steps)
    return 0


def _absent(placement: "Placement") -> "list[Launch]":
    """Return the stages that do not run yet. Raises SetupError for one that runs otherwise."""
    from gpfn.pipelines.asking import is_ready

    absent = []
    for launch in placement.launches:
        if is_ready(launch.url):
            _check(launch)
        else:
            absent.append(launch)
    for launch in placement.elsewhere:
        _check(launch)
    return absent


def _check(launch: "Launch") -> None:
    """Raise SetupError when what runs is not the stage, or does not go on as it is placed."""
    from gpfn.pipelines.asking import find_served

    served = find_served(launch.url, launch.name)
    if launch.listen:
        _check_model(launch, served)
    platform, expected = served.platform, bool(launch.next_url)
    unknown = not platform and not launch.listen  # not our server: the file has to be right
    if unknown or launch.target.endswith(".pipeline.toml"):
        return
    if expected != (platform == _GOES_ON):
        told = (
            f"{launch.url} runs already and does not go on to the next stage; end it, "
            f"or start it with --next {launch.next_url}"
            if expected
            else f"{launch.url} runs already and goes on to another server by itself; end it, "
            "or place this stage as server"
        )
        raise SetupError(told, field=f"stages.{launch.name}.place")


def _check_model(launch: "Launch", served: "ServedStage") -> None:
    """Raise SetupError unless the server at a stage's address answers with that stage's model."""
    first = "".join(served.models[:1])
    if first != launch.name:
        listed = ", ".join(served.models[:_MOST_NAMED]) or "models that it does not tell"
        told = f"is a server of {listed}, not of {launch.name}"
        if launch.name in served.models:
            told = f"is a server of {listed}: it answers with {first}, not with {launch.name}"
    else:
        told = _misfit(launch, served)
    if told:
        told = f"{launch.url} {told}; end it, or let this stage listen elsewhere"
        raise SetupError(told, field=f"stages.{launch.name}.listen")


def _misfit(launch: "Launch", served: "ServedStage") -> str:
    """Say what differs from what is written about the stage's model; "" when nothing does."""
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.description import description_beside
    from gpfn.tensors.shapes import spec_text

    target, catalogue = launch.target, default_catalogue()
    known = catalogue.get(target) if target in catalogue else description_beside(target)
    if known is None or known.signature is None:
        return ""
    sides = [("takes", served.inputs, known.signature.inputs)]
    if not launch.next_url:  # else its outputs are those of the next one
        sides.append(("gives", served.outputs, known.signature.outputs))
    for verb, found, declared in sides:
        if len(found) == len(declared) == 1 and _differ(found[0], declared[0]):
            return f"{verb} {spec_text(found[0])} where {target} {verb} {spec_text(declared[0])}"
    return ""


def _differ(one: "TensorSpec", other: "TensorSpec") -> bool:
    if one.dtype != other.dtype:
        return True
    if one.shape is None or other.shape is None:
        return False
    pairs = [*zip(one.shape, other.shape, strict=False)][1:]  # any number of rows
    return len(one.shape) != len(other.shape) or any(a != b for a, b in pairs if a and b)


def given_inputs(files: Sequence[str], specs: "Sequence[TensorSpec]") -> "_Arrays":
    """Return the inputs out of files, or else counting numbers. Raises SetupError."""
    from gpfn.cli.predict import read_inputs

    if files:
        return read_inputs(files, specs)
    if not specs or any(spec.shape is None for spec in specs):
        raise SetupError("the first stage tells no inputs to count up for", field="--input")
    return {spec.name: _counting(spec) for spec in specs}


def _counting(spec: "TensorSpec") -> "np.ndarray[Any, Any]":
    import numpy as np

    shape = [_OPEN if size is None else size for size in spec.shape or ()]
    numbers: np.ndarray[Any, Any] = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    if spec.dtype == "string":
        words = [b"%d" % number for number in range(numbers.size)]
        return np.array(words, object).reshape(shape)
    return numbers % 2 == 1 if spec.dtype == "bool" else numbers.astype(spec.dtype)


def _computed(pipeline: "Pipeline", inputs: "_Arrays") -> "dict[str, _Arrays]":
    """Return the inputs, and what each stage that we call gives, in the pipeline's order."""
    seen: dict[str, _Arrays] = {}
    answer = pipeline.run(inputs, seen=lambda stage, arrays: seen.update({stage: arrays}))
    steps = {"inputs": inputs, **{each.name: seen[each.name] for each in pipeline.stages}}
    last = [*steps.values()][-1]
    if {name: id(array) for name, array in answer.items()} != {n: id(a) for n, a in last.items()}:
        steps["outputs"] = answer
    return steps


def _print(steps: "Mapping[str, _Arrays]") -> None:
    for arrays in steps.values():
        for name, array in arrays.items():
            print(f"{name} = {_shown(array)}" if len(arrays) > 1 else _shown(array))
    sys.stdout.flush()


def _shown(array: "np.ndarray[Any, Any]", *, whole: bool | None = None) -> str:
    """Return an array on one line, ``[[0 1] [2 3]]``; of a large one the edges."""
    if not array.ndim:
        return _word(array[()])
    whole = array.size <= _MOST_SHOWN if whole is None else whole
    rows: list[Any] = [*array]
    if not whole and len(rows) > 2 * _EDGE:
        rows = [*rows[:_EDGE], "…", *rows[-_EDGE:]]
    inner = array.ndim > 1
    shown = [
        _shown(row, whole=whole) if inner and not isinstance(row, str) else _word(row)
        for row in rows
    ]
    return f"[{' '.join(shown)}]"


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return f"{value:g}" if getattr(value, "dtype", None) and value.dtype.kind == "f" else str(value)


def _print_json(steps: "Mapping[str, _Arrays]") -> None:
    import orjson

    from gpfn.tensors.codec import open_inference_outputs

    told = [
        {"stage": name, "arrays": open_inference_outputs(arrays)} for name, arrays in steps.items()
    ]
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    sys.stdout.buffer.write(orjson.dumps({"steps": told}, option=option))
    sys.stdout.buffer.flush()

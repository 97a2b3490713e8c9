"""``gpfn pipeline show`` and ``check``: a pipeline's file drawn, and its links checked."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpfn.models.pipeline.stage import Origin, Stage
    from gpfn.pipelines.checking import CheckedPipeline
    from gpfn.tensors.spec import TensorSpec

__all__ = ["add_check_arguments", "add_show_arguments", "check", "show"]

_FORMS = ("text", "mermaid", "svg")


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``show`` takes."""
    _add_file(parser)
    parser.add_argument("--as", dest="form", choices=_FORMS, default=_FORMS[0],
                        help="text for a terminal, a Mermaid flowchart, or an SVG picture "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--output", default="-", metavar="FILE", help="where the drawing goes, "
                        "- for stdout (the default)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print stages and links as JSON")


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``check`` takes."""
    _add_file(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file NAME.pipeline.toml")


def show(args: argparse.Namespace) -> int:
    """Draw a pipeline from its file alone."""
    from gpfn.models.pipeline import read_pipeline
    from gpfn.pipelines.drawing import draw_mermaid, draw_text, graph_of

    read = read_pipeline(args.file)
    if args.json:
        outputs = {name: str(origin) for name, origin in read.outputs.items()}
        stages = [_described(stage) for stage in read.stages]
        named = {"name": read.name, "title": read.title, "stages": stages, "outputs": outputs}
        _write(_json(named), args.output)
        return 0
    graph = graph_of(read)
    if args.form == "svg":
        from gpfn.pipelines.drawing_svg import draw_svg

        drawn = draw_svg(graph)
    else:
        drawn = draw_mermaid(graph) if args.form == "mermaid" else draw_text(graph)
    _write(drawn, args.output)
    return 0


def _described(stage: "Stage") -> "dict[str, Any]":
    """Return a stage as JSON has it; its settings may hold what is nobody's business."""
    from gpfn.pipelines.drawing import shown_target

    kept = stage._asdict()
    takes: str | Mapping[str, Origin] = kept.pop("takes")
    inputs = takes if isinstance(takes, str) else {name: str(each) for name, each in takes.items()}
    for unsaid in ("settings", "owned", "config"):
        kept.pop(unsaid, None)
    return kept | {"target": shown_target(stage), "inputs": inputs}


def check(args: argparse.Namespace) -> int:
    """Compare what stages give with what the next ones take; 1 when something is wrong."""
    from gpfn.models.pipeline import read_pipeline
    from gpfn.pipelines.checking import WRONG, check_pipeline

    found = check_pipeline(read_pipeline(args.file))
    if args.json:
        _write(_json(_document(found)), "-")
    else:
        _print(found)
    return 1 if found.having(WRONG) else 0


def _document(found: "CheckedPipeline") -> "dict[str, Any]":
    from gpfn.pipelines.checking import WRONG

    stages = [
        {
            "stage": each.name,
            "target": each.target,
            "verdict": each.verdict,
            "detail": each.told,
            "inputs": _specs(each.inputs),
            "outputs": _specs(each.outputs),
        }
        for each in found.stages
    ]
    links = [
        {"from": each.source, "to": each.taker, "verdict": each.verdict, "detail": each.told}
        for each in found.links
    ]
    return {"pipeline": found.name, "wrong": found.having(WRONG), "stages": stages, "links": links}


def _specs(specs: "Sequence[TensorSpec]") -> "list[dict[str, Any]]":
    return [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in specs]


def _print(found: "CheckedPipeline") -> None:
    from gpfn.cli.table import print_table
    from gpfn.pipelines.checking import UNKNOWN, WRONG

    stages = [(each.name, each.target, each.verdict, each.told) for each in found.stages]
    print_table(stages, ("STAGE", "TARGET", "VERDICT", "DETAIL"))
    print()
    links = [(each.source, each.taker, each.verdict, each.told) for each in found.links]
    print_table(links, ("FROM", "TO", "VERDICT", "DETAIL"))
    print()
    untold, wrong = found.having(UNKNOWN), found.having(WRONG)
    said = f"{wrong} wrong" if wrong else "nothing is wrong"
    more = f", {untold} not told" if untold else ""
    print(f"{found.name}: {len(found.stages)} stages, {len(found.links)} links: {said}{more}")


def _json(document: object) -> str:
    import orjson

    from gpfn import json_exact

    return json_exact.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def _write(text: str, output: str) -> None:
    if output == "-":
        print(text, end="")
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write {output}: {error.strerror}", field="--output") from error

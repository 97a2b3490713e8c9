"""``gpfn pipeline``: a pipeline's stages as processes: run once, kept up, measured, shown."""

import argparse

from gpfn.cli.commands import Actions, add_actions, run_action

__all__ = [
    "EXAMPLES",
    "SUMMARY",
    "add_arguments",
    "add_file_arguments",
    "add_input_argument",
    "run",
]

SUMMARY = "run a pipeline's stages as processes, watch, measure, draw and check it"
EXAMPLES = """
gpfn pipeline run pipelines/toy.pipeline.toml --place client
gpfn pipeline run pipelines/toy.pipeline.toml --input table.json --json
gpfn pipeline up pipelines/classy.pipeline.toml
gpfn pipeline bench pipelines/toy.pipeline.toml --seconds 5
gpfn pipeline show pipelines/classy.pipeline.toml
gpfn pipeline check pipelines/classy.pipeline.toml
"""

_ACTIONS: Actions = {
    "run": ("pipeline_run", "start the stages that do not run, and compute once"),
    "up": ("pipeline_up", "keep all stages running, with one log and a table, until Ctrl-C"),
    "bench": ("pipeline_bench", "measure the three placements side by side"),
    "show": ("pipeline_show", "draw it"),
    "check": ("pipeline_show", "compare what each stage gives with what the next one takes"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each thing to do."""
    add_actions(parser, _ACTIONS)


def add_file_arguments(parser: argparse.ArgumentParser, *, place: bool = True) -> None:
    """Declare the file, and how its stages are placed."""
    parser.add_argument("file", metavar="FILE", help="NAME.pipeline.toml")
    if place:
        parser.add_argument("--place", choices=("client", "server", "hybrid"), help="who calls "
                            "the next stage, for all (default: what each stage says)")  # fmt: skip


def add_input_argument(parser: argparse.ArgumentParser) -> None:
    """Declare what it computes with."""
    parser.add_argument("--input", action="append", default=[], metavar="[NAME=]FILE", help="a "
                        ".npy, .json or .csv file, or - for JSON on stdin (default: counting "
                        "numbers, two for each open size)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do one of them."""
    return run_action(args, _ACTIONS)

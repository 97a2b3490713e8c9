"""The table of commands, their help and their options."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast

from gpfn.cli.usage import CommandParser, did_you_mean
from gpfn.errors import GpfnError, SetupError, error_document
from gpfn.hidden import hidden

__all__ = [
    "COMMANDS",
    "USAGE",
    "Actions",
    "Command",
    "add_actions",
    "dispatch",
    "load_command",
    "parser_of",
    "report",
    "run_action",
]

COMMANDS = {
    "bench": "gpfn.cli.bench",
    "bridge": "gpfn.cli.bridge",
    "build": "gpfn.cli.build",
    "certify": "gpfn.cli.certify",
    "classy": "gpfn.cli.classy",
    "coldstart": "gpfn.cli.coldstart",
    "completion": "gpfn.cli.completion",
    "config": "gpfn.cli.config",
    "convert": "gpfn.cli.convert",
    "demo": "gpfn.cli.demo",
    "deploy": "gpfn.cli.deploy",
    "dev": "gpfn.cli.dev",
    "doctor": "gpfn.cli.doctor",
    "image": "gpfn.cli.image",
    "init": "gpfn.cli.init",
    "invoke": "gpfn.cli.invoke",
    "models": "gpfn.cli.models",
    "package": "gpfn.cli.package",
    "pipeline": "gpfn.cli.pipeline",
    "predict": "gpfn.cli.predict",
    "run": "gpfn.cli.run",
    "score": "gpfn.cli.score",
    "serve": "gpfn.cli.serve",
    "tfaas": "gpfn.cli.tfaas",
    "tokens": "gpfn.cli.tokens",
    "train": "gpfn.cli.train",
}
"""A command's name and the module that has it."""

USAGE = 2
"""The exit code of wrong usage."""

Actions: TypeAlias = Mapping[str, tuple[str, str]]
"""The sub-commands of a command: the module of each, which has ``add_NAME_arguments`` and
``NAME``, and what it does in one line."""


class Command(Protocol):
    """What a command's module defines."""

    SUMMARY: str
    """One line for the list of commands."""
    EXAMPLES: str
    """Command lines, one a line."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code, raises GpfnError."""


def dispatch(words: Sequence[str]) -> int:
    """Run the command that the first word names."""
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) == 2 and words[0] == "help":
            known = words[1] in COMMANDS
            return dispatch([words[1], "--help"] if known else [words[1]])
        print(_overview())
        return 0 if words else USAGE
    name = words[0]
    if name not in COMMANDS:
        print(_unknown(name), file=sys.stderr)
        return USAGE
    command = load_command(name)
    if name == "run" and len(words) > 1:
        _look_outside(words[1])
    try:
        args = parser_of(name, command).parse_args(list(words[1:]))
    except SystemExit as stop:  # argparse has said what is wrong
        return stop.code if isinstance(stop.code, int) else USAGE
    return command.run(args)


def _look_outside(platform: str) -> None:
    """Find a platform that another package brings: ``run`` has a sub-command for each."""
    from gpfn.platforms.table import find_platform

    with suppress(SetupError):  # argparse says what is wrong with the word
        find_platform(platform, "runner")


def parser_of(name: str, command: Command) -> CommandParser:
    """Return the parser of one command."""
    parser = CommandParser(
        prog=f"gpfn {name}",
        description=command.SUMMARY,
        epilog=_examples(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def add_actions(parser: argparse.ArgumentParser, actions: Actions) -> None:
    """Declare a sub-command for each action."""
    added = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (module, about) in actions.items():
        one = added.add_parser(name, help=about, description=about, allow_abbrev=False)
        _named(module, f"add_{name}_arguments")(one)


def run_action(args: argparse.Namespace, actions: Actions) -> int:
    """Do the action that was parsed; returns its exit code."""
    done: int = _named(actions[args.action][0], args.action)(args)
    return done


def _named(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(f"gpfn.cli.{module}"), name)
    return found


def load_command(name: str) -> Command:
    """Return the module of a command."""
    return cast("Command", import_module(COMMANDS[name]))


def _overview() -> str:
    commands = {name: load_command(name) for name in COMMANDS}
    width = max(map(len, commands))
    lines = ["usage: gpfn COMMAND …", "", "commands:"]
    lines += [f"  {name:{width}}  {command.SUMMARY}" for name, command in commands.items()]
    lines += ["", "examples:"]
    lines += [f"  {_lines(command.EXAMPLES)[0]}" for command in commands.values()]
    lines += ["", "gpfn COMMAND --help tells more; gpfn --version says which this is."]
    return "\n".join(lines)


def _examples(command: Command) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in _lines(command.EXAMPLES))


def _lines(examples: str | Sequence[str]) -> list[str]:
    lines = examples.splitlines() if isinstance(examples, str) else examples
    return [line.strip() for line in lines if line.strip()]


def _unknown(name: str) -> str:
    hint = did_you_mean(name, COMMANDS) or f"; commands: {', '.join(COMMANDS)}"
    return f"gpfn: no command {name!r}{hint}"


def report(
    error: GpfnError, *, as_json: bool, traced: bool = False, as_record: bool = False
) -> int:
    """Write one line (or the error document) to stderr and return exit code 1.

    ``as_record`` makes the line a record of the log, for commands that write one.

    What user code raised underneath is shown with its trace, unless it was ``traced``
    already: that is what has to be fixed.
    """
    cause = error.__cause__
    if traced or isinstance(cause, GpfnError | OSError):
        cause = None
    line = " ".join(str(error).split())
    if as_record and not as_json:
        _record(line, cause, error)
        return 1
    if cause is not None:
        import traceback

        print(hidden("".join(traceback.format_exception(cause))), end="", file=sys.stderr)
    if as_json:
        import json

        print(json.dumps(error_document(error, whole=True)), file=sys.stderr)
    else:
        print(f"gpfn: {line}", file=sys.stderr)
    return 1


def _record(line: str, cause: BaseException | None, error: GpfnError) -> None:
    from gpfn.log import Log
    from gpfn.settings import LOG_FORMS

    form = os.environ.get("GPFN_LOG", "")
    log = Log("cli", form=form if form in LOG_FORMS else LOG_FORMS[0])
    if cause is not None:
        log.failure(cause)
    log.error(line, error=error.type)

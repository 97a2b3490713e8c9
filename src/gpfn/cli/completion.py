"""``gpfn completion``: a script that completes commands, options and choices in a shell.

It is made from the commands' own parsers, and has all that it needs: no process is started
while somebody types. `gpfn.cli.completion_scripts` has the shells.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "EXAMPLES",
    "SUMMARY",
    "CompletedOption",
    "CompletedPlace",
    "add_arguments",
    "command_tree",
    "run",
]

SUMMARY = "a script that completes commands and options in bash, zsh or fish"
EXAMPLES = """
gpfn completion bash > ~/.local/share/bash-completion/completions/gpfn
gpfn completion zsh > "${fpath[1]}/_gpfn"
gpfn completion fish > ~/.config/fish/completions/gpfn.fish
"""

_SHELLS = ("bash", "zsh", "fish")


class CompletedOption(NamedTuple):
    """An option by all its names: what it does, whether a value follows, and which there are."""

    names: tuple[str, ...]
    about: str
    valued: bool
    choices: tuple[str, ...] = ()


class CompletedPlace(NamedTuple):
    """What may follow the words of ``path``: sub-commands, options, or arguments.

    ``commands`` have a line on each. ``choices`` are of arguments; where there are neither,
    an argument is a file.
    """

    path: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    options: tuple[CompletedOption, ...]
    choices: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shell."""
    parser.add_argument("shell", choices=_SHELLS, help="which shell the script is for")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from gpfn.cli import completion_scripts

    print(getattr(completion_scripts, f"{args.shell}_script")(command_tree()), end="")
    return 0


def command_tree() -> list[CompletedPlace]:
    """Return every place of the command line, the top first, as the parsers have them."""
    from gpfn.cli.commands import COMMANDS, load_command, parser_of

    commands = {name: load_command(name) for name in COMMANDS}
    top = (
        CompletedOption(("--help", "-h"), "list the commands", valued=False),
        CompletedOption(("--version", "-V"), "say which gpfn this is", valued=False),
    )
    listed = [*((name, command.SUMMARY) for name, command in commands.items())]
    found = [CompletedPlace((), (*listed, ("help", "tell of a command")), top)]
    for name, command in commands.items():
        found += _branch_of((name,), parser_of(name, command))
    return [*found, CompletedPlace(("help",), (), (), tuple(COMMANDS))]


def _branch_of(path: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterator[CompletedPlace]:
    """Give the place of a parser and those of its sub-commands."""
    options: list[CompletedOption] = []
    choices: list[str] = []
    commands: list[tuple[str, str]] = []
    inner: list[CompletedPlace] = []
    for action in parser._actions:  # argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):
            lines = {each.dest: each.help or "" for each in action._choices_actions}
            for name, below in action.choices.items():
                commands.append((name, lines.get(name, "")))
                inner += _branch_of((*path, name), below)
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            options.append(_option_of(parser, action))
        else:
            choices += map(str, action.choices or ())
    yield CompletedPlace(path, tuple(commands), tuple(options), tuple(choices))
    yield from inner


def _option_of(parser: argparse.ArgumentParser, action: argparse.Action) -> CompletedOption:
    about = parser._get_formatter()._expand_help(action) if action.help else ""
    choices = tuple(map(str, action.choices or ()))
    named = action.metavar if isinstance(action.metavar, str) else ""
    if not choices and named[:1] == "{" and named[-1:] == "}":  # names that a table has
        choices = tuple(named[1:-1].split(","))
    return CompletedOption(tuple(action.option_strings), about, action.nargs != 0, choices)

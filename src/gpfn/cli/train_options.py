"""The options that all trainings of ``gpfn train`` have, and how a training declares its own."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from gpfn.cli.options import between, seconds, whole

__all__ = ["QUICK_EPOCHS", "Training", "Watched", "add_common", "add_number", "add_watch"]

QUICK_EPOCHS = 20


class Watched(NamedTuple):
    """What ``--watch FOLDER`` gives to a training in place of its data."""

    argument: str
    """The argument that takes it, as argparse's Namespace calls it."""
    suffixes: tuple[str, ...]
    """The files that count, such as ``.csv``; others in the folder are left alone."""
    whole_folder: bool = False
    """The argument takes the folder itself with all below it, instead of a list of its files."""


class Training(Protocol):
    """What the module of a training defines."""

    ABOUT: str
    """One line for the list of trainings."""
    WATCHED: Watched | None
    """None when it has no data of the user's, so that there is nothing to watch."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments.

        Those called like a field of the script's ``Settings`` are given to it when they are
        not None.
        """


def add_common(
    parser: argparse.ArgumentParser, *, epochs: int, learning_rate: float, seed: int, out: str = ""
) -> None:
    """Declare the options that all trainings have, with these defaults.

    ``out`` says in words where it writes when ``--out`` is not given.
    """
    add_number(parser, "--learning-rate", between(0, 1), learning_rate, "Adam's")
    add_number(parser, "--epochs", whole(1), epochs, "passes over the training data")
    add_number(parser, "--seed", whole(), seed, "of the data and of the first weights")
    default = out or "models/ in the checkout, else here"
    parser.add_argument("--out", type=Path, help=f"folder to write to (default: {default})")
    parser.add_argument(
        "--quick",
        action="store_const",
        const=QUICK_EPOCHS,
        dest="epochs",
        default=argparse.SUPPRESS,
        help=f"the same as --epochs {QUICK_EPOCHS}: to see that it works, not to get a model",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--script", type=Path, help=argparse.SUPPRESS)


def add_number(
    parser: argparse.ArgumentParser,
    flag: str,
    kind: Callable[[str], float],
    default: float,
    about: str,
) -> None:
    """Declare an option that takes a number, whose help ends with the default."""
    parser.add_argument(
        flag, type=kind, default=default, metavar="N", help=f"{about} (default: {default})"
    )


def add_watch(parser: argparse.ArgumentParser, watched: Watched) -> None:
    """Declare the options of continuous training."""
    group = parser.add_argument_group("whenever files come")
    flag = group.add_argument
    flag("--watch", type=Path, metavar="FOLDER", help="train on what the folder has "
         f"({', '.join(watched.suffixes)}), and again whenever that changes")  # fmt: skip
    to = group.add_mutually_exclusive_group()
    to.add_argument("--push", default="", metavar="URL", help="a repository of models, which gets "
                    "each model as a version with the tag candidate")  # fmt: skip
    to.add_argument("--repository", default="", metavar="PLACE", help="the same for a repository's "
                    "folder or bucket itself, without a server")  # fmt: skip
    flag("--name", default="", metavar="NAME", help="the model's name, in the repository and where "
         "its files tell one (default: that of the folder)")  # fmt: skip
    token = "a token of the repository (default: $GPFN_TOKEN)"  # noqa: S105 - help, no token
    flag("--token", default="", help=token)
    flag("--settle", type=seconds, default=2.0, metavar="SECONDS", help="how long files have to "
         "stay as they are before they count as whole (default: 2)")  # fmt: skip
    flag("--once", action="store_true", help="end when what is there has been trained on and "
         "pushed")  # fmt: skip

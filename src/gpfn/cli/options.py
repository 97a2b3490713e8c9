"""Numbers, texts and platforms on the command line: read once, refused with the option's name.

Each function here makes what argparse calls a ``type``: it takes the option's text and
returns the value, or raises ArgumentTypeError, which ends the command with exit code 2.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gpfn.cli.usage import did_you_mean
from gpfn.errors import SetupError
from gpfn.settings import parse_duration, parse_whole

if TYPE_CHECKING:
    from gpfn.platforms.row import Column

__all__ = [
    "Filled",
    "add_platform",
    "add_signature",
    "between",
    "parse_threads",
    "port",
    "seconds",
    "whole",
]

_T = TypeVar("_T")
_MOST_SECONDS = 999_999.0
_LONGEST = 40


class Filled(argparse.Action):
    """Store a text that may not be empty, where the default would be taken for it silently.

    ``--image "$IMAGE"`` is empty when nobody has set the variable.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's interface
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Store the text. Raises ArgumentError, which ends the command with exit code 2."""
        if not values:
            raise argparse.ArgumentError(self, "is empty: leave it out for the default")
        setattr(namespace, self.dest, values)


def whole(least: int = 0, most: int = 10**9) -> Callable[[str], int]:
    """Return the type of a whole number from ``least`` to ``most``."""
    return lambda text: _told(lambda: parse_whole(text, field="", least=least, most=most))


port = whole(0, 65535)
"""The type of a port; 0 takes a free one."""


def seconds(text: str) -> float:
    """Read a duration such as ``2``, ``0.5`` or ``500ms``."""
    return _told(lambda: parse_duration(text, field="", most=_MOST_SECONDS))


def between(least: float, most: float, *, closed: bool = False) -> Callable[[str], float]:
    """Return the type of a number above ``least`` (or equal, if ``closed``) and below ``most``."""

    def read(text: str) -> float:
        plain = text.isascii() and "_" not in text and len(text) <= _LONGEST  # float() takes more
        try:
            number = float(text) if plain else most
        except ValueError:
            number = most
        if not least < number < most and not (closed and number == least):
            wanted = f"expected a number between {least:g} and {most:g}"
            raise argparse.ArgumentTypeError(f"{wanted}, got {text[:_LONGEST]}")
        return number

    return read


def add_platform(
    parser: argparse.ArgumentParser, option: str, column: "Column", default: str, help_text: str
) -> None:
    """Declare an option that takes the name of a platform with that column."""
    from gpfn.platforms.table import find_platform, platforms_with

    names = [row.name for row in platforms_with(column)]

    def named(text: str) -> str:
        try:
            return find_platform(text, column).name
        except SetupError as error:
            told = f"{error.detail}{did_you_mean(text, names)}"
            raise argparse.ArgumentTypeError(told) from None

    parser.add_argument(
        option,
        type=named,
        default=default,
        metavar=f"{{{','.join(names)}}}",
        help=help_text,
    )


def add_signature(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Declare ``--signature``, which is the same as ``?signature=`` behind the model."""
    text = "which of the model's signatures, as MODEL?signature=NAME"
    parser.add_argument("--signature", default="", metavar="NAME", help=text)


def parse_threads(text: str) -> int | Literal["auto"]:
    """Return a model's number of threads, or ``auto``; raises SetupError."""
    if text == "auto":
        return "auto"
    try:
        return parse_whole(text, field="--threads", least=1)
    except SetupError as error:
        detail = error.detail.replace("above 0", "above 0 or auto")
        raise SetupError(detail, field=error.field) from None


def _told(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except SetupError as error:
        raise argparse.ArgumentTypeError(error.detail) from None

"""Wrong usage, told with what was probably meant: options, choices, commands and names.

argparse says what it does not know; here that line ends with the nearest word it does know. A
word is near when a letter or two are missing, doubled or swapped, as difflib judges it.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

__all__ = ["CommandParser", "did_you_mean"]

_LONGEST = 60
"""Letters of a word that are compared: difflib takes the square of them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question that ends a message, such as ``; did you mean show?``, or nothing."""
    import difflib

    bare = {name.lstrip("-"): name for name in known}  # dashes are alike in all options
    near = difflib.get_close_matches(word[:_LONGEST].lstrip("-"), list(bare), 1)
    return f"; did you mean {bare[near[0]]}?" if near else ""


class CommandParser(argparse.ArgumentParser):
    """A parser that suggests; the parsers of its sub-commands are of its kind."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and remember the words for what is said of them."""
        self._words = tuple(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2; an unknown option is told before what is missing besides."""
        for word in self._unknown_options():
            hint = did_you_mean(word, sorted(set(_options(self, self._words))))
            if hint:
                message = f"unrecognized arguments: {word}{hint}"
                break
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += did_you_mean(str(value), map(str, action.choices or ()))
            raise

    def _unknown_options(self) -> Iterator[str]:
        """Give the words that look like options of this parser and its sub-commands, and are none.

        Behind ``--`` nothing is an option.
        """
        known = set(_options(self, self._words))
        for word in self._words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if name.startswith("--") and name not in known:
                yield name


def _options(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[str]:
    """Give the long options of a parser and of those sub-commands that the words name."""
    for action in parser._actions:  # argparse has no public list of them
        yield from (option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                if name in words:
                    yield from _options(inner, words)

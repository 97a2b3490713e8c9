"""The grammar of a condition on columns: from its text to a tree, with every position.

    or          and (("or" | "|" | "||") and)*
    and         not (("and" | "&" | "&&") not)*
    not         ("not" | "!" | "~") not | comparison
    comparison  sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    sum         product (("+" | "-") product)*
    product     unary (("*" | "/" | "%") unary)*
    unary       ("-" | "+") unary | atom ["**" unary]
    atom        number | "text" | true | false | column | function(or, …) | (or)

A column is called as it is: ``mass``, ``jet.pt``, ``Jet_pt[0]``, ``count(Jet_pt)``, and between
backquotes with anything in it: ```mean radius```.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["FUNCTIONS", "CutFunction", "Node", "WrongCut", "parse_cut"]

_LONGEST = 10_000  # characters
_MOST_TOKENS = 300  # a chain of them is as deep a tree, and Python's stack is 1000 calls
_DEEPEST = 30  # parentheses, functions and signs in each other

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<quoted>`[^`]+`)
  | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*(?:\[\s*\d+\s*\])*)
  | (?P<text>"[^"]*"|'[^']*')
  | (?P<mark>\*\*|<=|>=|==|!=|&&|\|\||[-+*/%<>&|!~(),])
  )""",
    re.VERBOSE,
)
_WORDS = {"&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "~": "not"}
_COMPARING = frozenset({"<", "<=", ">", ">=", "==", "!="})
_RESERVED = frozenset({"and", "or", "not"})
_END = "the end"
_COUNT = "count"
"""Of a branch of a ROOT file: how many values an event has, which is a column."""


class CutFunction(NamedTuple):
    """A function of numbers: how NumPy calls it, and how many it takes."""

    numpy: str
    arguments: int = 1


FUNCTIONS: Mapping[str, CutFunction] = {
    **{name: CutFunction(name) for name in ("abs", "sqrt", "exp", "log", "log10")},
    **{name: CutFunction(name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "min": CutFunction("minimum", 2),
    "max": CutFunction("maximum", 2),
    "hypot": CutFunction("hypot", 2),
    "atan2": CutFunction("arctan2", 2),
}
"""What may be called."""


class WrongCut(Exception):
    """What is wrong, and at which character, counted from 0."""

    def __init__(self, told: str, at: int) -> None:
        super().__init__(told)
        self.told, self.at = told, at


class Node(NamedTuple):
    """A part of a condition: what it is, its own text, where it stands, and its parts."""

    kind: str
    text: str
    at: int
    parts: tuple[Node, ...] = ()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_cut(text: str) -> Node:
    """Return the tree of a condition. Raises WrongCut."""
    if len(text) > _LONGEST:
        raise WrongCut(f"more than {_LONGEST} characters", _LONGEST)
    parser = _Parser(_tokens(text))
    root = parser.either()
    parser.end()
    return root


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        start = len(text) - len(text[at:].lstrip())
        if match is None or match.lastgroup is None:
            raise WrongCut(_odd(text, start), start)
        found.append(_token(match.lastgroup, match[match.lastgroup], start))
        at = match.end()
        if len(found) > _MOST_TOKENS:
            raise WrongCut(f"more than {_MOST_TOKENS} words and marks", start)
    return [*found, _Token("end", _END, end)]


def _token(kind: str, text: str, at: int) -> _Token:
    if kind == "quoted":
        return _Token("column", text[1:-1], at)
    if kind == "text":
        return _Token("text", text[1:-1], at)
    if kind == "mark":
        return _Token("mark", _WORDS.get(text, text), at)
    if kind == "name" and text.lower() in _RESERVED:
        return _Token("mark", text.lower(), at)
    if kind == "name" and text.lower() in ("true", "false"):
        return _Token("truth", text.lower(), at)
    return _Token(kind, re.sub(r"\s", "", text), at)


def _odd(text: str, at: int) -> str:
    found = text[at]
    if found == "=":
        return "= compares nothing; write =="
    if found in "\"'`":
        return f"{found} is opened and not closed"
    if found in "[]":
        return "an index is one whole number behind a name, such as Jet_pt[0]"
    if found.isdigit():
        word = re.match(r"[\w.]+", text[at:])
        return f"{(word[0] if word else found)[:20]!r} is no number"
    return f"{found!r} means nothing here"


class _Parser:
    """Reads tokens from left to right; every method is a line of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._next, self._depth = tokens, 0, 0

    def either(self) -> Node:
        return self._chain(self._both, ("or",), "combined")

    def end(self) -> None:
        if self._here.kind != "end":
            told = f"expected and, or, a comparison or the end, got {self._here.text!r}"
            raise WrongCut(told, self._here.at)

    def _both(self) -> Node:
        return self._chain(self._not, ("and",), "combined")

    def _not(self) -> Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        with_depth = self._deeper(self._not, token)
        return Node("not", token.text, token.at, (with_depth,))

    def _comparison(self) -> Node:
        left = self._sum()
        found: Node | None = None
        while self._here.kind == "mark" and self._here.text in _COMPARING:
            token = self._step()
            right = self._sum()
            one = Node("compared", token.text, token.at, (left, right))
            found = one if found is None else Node("combined", "and", token.at, (found, one))
            left = right
        return found or left

    def _sum(self) -> Node:
        return self._chain(self._product, ("+", "-"), "computed")

    def _product(self) -> Node:
        return self._chain(self._unary, ("*", "/", "%"), "computed")

    def _unary(self) -> Node:
        if token := self._take("-"):
            return Node("minus", "-", token.at, (self._deeper(self._unary, token),))
        if token := self._take("+"):
            return self._deeper(self._unary, token)
        base = self._atom()
        if token := self._take("**"):
            return Node("computed", "**", token.at, (base, self._deeper(self._unary, token)))
        return base

    def _atom(self) -> Node:
        token = self._step()
        if token.kind in ("number", "text", "truth", "column"):
            return Node(token.kind, token.text, token.at)
        if token.kind == "name":
            return self._call(token) if self._take("(") else Node("column", token.text, token.at)
        if token.text == "(" and token.kind == "mark":
            inner = self._deeper(self.either, token)
            self._close()
            return inner
        raise WrongCut(f"expected a column or a number, got {token.text}", token.at)

    def _call(self, name: _Token) -> Node:
        if name.text == _COUNT and self._here.kind == "name":
            branch = self._step()
            self._close()
            return Node("column", f"{_COUNT}({branch.text})", name.at)
        function = FUNCTIONS.get(name.text)
        if function is None:
            raise WrongCut(
                f"no function {name.text}; there are {', '.join((*FUNCTIONS, _COUNT))}", name.at
            )
        parts = [self._deeper(self.either, name)]
        while self._take(","):
            parts.append(self._deeper(self.either, name))
        self._close()
        if len(parts) != function.arguments:
            told = f"{name.text} takes {function.arguments} of them, got {len(parts)}"
            raise WrongCut(told, name.at)
        return Node("call", name.text, name.at, tuple(parts))

    def _chain(self, inner: Callable[[], Node], marks: tuple[str, ...], kind: str) -> Node:
        found = inner()
        while self._here.kind == "mark" and self._here.text in marks:
            token = self._step()
            found = Node(kind, token.text, token.at, (found, inner()))
        return found

    def _deeper(self, inner: Callable[[], Node], token: _Token) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WrongCut(f"more than {_DEEPEST} levels", token.at)
        found = inner()
        self._depth -= 1
        return found

    def _close(self) -> None:
        if not self._take(")"):
            raise WrongCut(f"expected ), got {self._here.text}", self._here.at)

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _step(self) -> _Token:
        token = self._here
        self._next += token.kind != "end"
        return token

    def _take(self, mark: str) -> _Token | None:
        return self._step() if self._here.kind == "mark" and self._here.text == mark else None

"""No error is lost without a word, in what we ship and in what makes it."""

import textwrap

import pytest

from tests.conftest import ROOT
from tests.sources import files
from tests.swallowing import swallowed

SHIPPED = [ROOT / name for name in ("src", "functions", "training", "benchmarks")]

KEPT = {
    "raised": "raise ValueError('x') from None",
    "used": "note(error)",
    "returned": "return str(error)",
    "a value": "return None",
    "logged": "log.debug('it went away')",
    "acted on": "self.close()",
    "an attribute": "self.failed = True",
    "an entry": "failed[name] = True",
    "read later": "size = -1",
    "left, and why": "return  # it has ended by itself",
    "passed over, and why": "# a damaged row is a row not found\n    continue",
}
LOST = {
    "pass": "pass",
    "pass, and why": "pass  # it does not matter",
    "dots": "...",
    "a value that nobody takes": "size",
    "a comparison": "size == 0",
    "a text": "'nothing to do'",
    "return": "return",
    "a bare return for the linter": "return  # noqa: RET",
    "continue": "continue",
    "a name that nobody reads": "pass_on = body",
    "a name that nobody reads, and why": "pass_on = body  # it does not matter",
    "a name, then return": "ignored = 1\n    return",
}
CLAUSE = """\
def f(self, body, log, note, failed, name):
    for _ in body:
        try:
            size = len(body)
        except {caught}:
{body}
        print(size)
"""


def module(body: str, caught: str = "OSError as error") -> str:
    """Return a module with one clause."""
    inside = textwrap.indent(textwrap.dedent(body.replace("\n    ", "\n")), " " * 12)
    return CLAUSE.format(caught=caught, body=inside)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_no_error_is_lost(folder) -> None:
    paths = [path for path in files() if path.suffix == ".py" and path.is_relative_to(folder)]
    assert paths
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {reason}"
        for path in paths
        for line, reason in swallowed(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_what_keeps_an_error_passes(body: str) -> None:
    assert swallowed(module(body)) == []


@pytest.mark.parametrize("body", LOST.values(), ids=LOST)
def test_what_loses_an_error_is_found(body: str) -> None:
    assert [line for line, _ in swallowed(module(body))] == [5]


@pytest.mark.parametrize("caught", ["Exception", "BaseException", "(OSError, Exception)", ""])
def test_who_catches_everything_raises_uses_or_logs(caught: str) -> None:
    assert swallowed(module("return None", caught)) != []
    assert swallowed(module("log.exception('bug')", caught)) == []
    assert swallowed(module("self.close()\n    raise", caught)) == []


def test_suppress_says_why() -> None:
    silent = "with contextlib.suppress(OSError):\n    stream.close()\n"
    assert swallowed(silent) == [(1, "suppress without a comment")]
    assert swallowed(f"# it is closed already\n{silent}") == []
    assert swallowed(silent.replace(":\n", ":  # it is closed already\n")) == []
    assert swallowed("with suppress(OSError) as x, y:\n    z()\n") != []
    assert swallowed("with open(x) as y:\n    y.suppress()\n") == []


def test_a_name_known_outside_counts() -> None:
    assert swallowed("def f():\n    global a\n    try: g()\n    except OSError: a = 1\n") == []

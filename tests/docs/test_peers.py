"""docs/coming-from.md says what is true of us: commands, options, and what there is not yet."""

import re
import subprocess
import sys
from functools import cache
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import DOCS

PAGE = ROOT / "docs" / "coming-from.md"
HAVE = {"yes", "partly", "no", "not yet"}
PEERS = {
    *("BentoML", "LitServe", "MLServer", "Knative's func", "Functions Framework", "TorchServe"),
    *("TF Serving", "Triton", "graphpipe-tf, and the op in a graph", "Fn's FDK"),
    "OpenWhisk's Python runtime",
}


class Row(NamedTuple):
    """What a peer has, what it is called here, and whether we have it."""

    peer: str
    there: str
    here: str
    have: str


def rows() -> list[Row]:
    """Return the rows of all tables."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return [
        Row(section.partition("\n")[0], *(cell.strip() for cell in line.strip("|").split("|")))
        for section in sections
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith("| there |")
    ]


ROWS = rows()


@cache
def usage(*command: str) -> str:
    """Return the help of a command, and nothing for a word that is none."""
    words = [sys.executable, "-m", "gpfn", *command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


@cache
def others() -> str:
    """Return the text of all other pages."""
    return "\n".join(page.read_text(encoding="utf-8") for page in DOCS if page != PAGE)


def absent(row: Row) -> list[str]:
    """Return what the middle column names that is not there."""
    spans = re.findall(r"`([^`]+)`", row.here)
    missing = [span for span in spans if span.startswith("gpfn ") and lacking(span)]
    named = [span for span in spans if re.match(r"takes=|[/?.]\w|GPFN_|/v2", span)]
    return missing + [span for span in named if span.removeprefix("takes=") not in others()]


def lacking(span: str) -> list[str]:
    """Return the words of a command that it does not know, or the command itself."""
    command = re.match(r"gpfn ((?:[a-z]+ ?)+)", span)
    assert command, span
    words = command[1].split()
    told = usage(*words) or (usage(words[0]) if len(words) > 1 and words[0] == "package" else "")
    if not told:
        return [span]
    return [option for option in re.findall(r"--[a-z-]+", span) if option not in told]


def test_every_peer_has_a_table_and_sources() -> None:
    assert {row.peer for row in ROWS} == PEERS
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert re.search(r"^Read: \S", section, re.MULTILINE), section.partition("\n")[0]
        assert len([row for row in ROWS if row.peer == section.partition("\n")[0]]) >= 8


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.peer}: {row.there[:40]}")
def test_a_row_is_true_of_us(row: Row) -> None:
    assert row.have in HAVE
    if row.have == "not yet":
        assert absent(row), "we have that now: say yes"
    else:
        assert not absent(row)
    assert row.here or row.have == "no", "yes, and what is it called?"


def test_what_is_not_there_is_found() -> None:
    assert lacking("gpfn nonsense NAME") == ["gpfn nonsense NAME"]
    assert lacking("gpfn serve --nonsense") == ["--nonsense"]
    assert not lacking("gpfn models push")

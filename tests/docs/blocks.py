"""The fenced blocks of a Markdown page, and the commands of a console session.

Two languages run: ``python`` (all blocks of a page share one namespace) and ``console``,
a bash session. In a session ``$ `` begins a command and ``> `` continues it, ``$ ! ``
begins one that has to fail, and every other line is output: each such line has to appear
in the command's real output, in this order; ``…`` stands for anything within a line.
What needs a broker is in a block of ``console kafka`` or ``console nats``, which runs like the
others, with a free port in the place of the broker's usual one. What needs a container engine
is in a block of ``console engine``, which tests/images_engine runs. Blocks of ``console fresh`` are
one session for a page, in an environment of its own, which the session makes
(test_ten_minutes.py). What nobody can run here (it needs fn, wsk) is in a block of another
language.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

__all__ = [
    "BROKERS",
    "DOCS",
    "PAGES",
    "QUIET",
    "RUN",
    "Block",
    "Command",
    "at_port",
    "commands",
    "fences",
    "one_session",
    "read_blocks",
]

DOCS = sorted((ROOT / "docs").rglob("*.md"))
BESIDE = sorted([*ROOT.glob("functions/*/README.md"), *ROOT.glob("ce_samples/*.md")])
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS, *BESIDE]

RUN = frozenset({"python", "console"})
QUIET = frozenset(
    {"csv", "diff", "dockerfile", "http", "ini", "json", "mermaid", "sh", "text", "toml", "yaml"}
    | {"cmake", "cpp"}
)
BROKERS = {"kafka": 9092, "nats": 4222}
"""What a block may need besides us, and the port that its page says."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)$")


class Block(NamedTuple):
    """A fenced block: its page, the line of its first code line, its language and code.

    ``needs`` is what stands after the language: ``engine``, ``fresh``, a broker, or nothing.
    """

    page: Path
    line: int
    language: str
    code: str
    needs: str = ""


class Command(NamedTuple):
    """One command of a console session and what it is said to print."""

    line: int
    text: str
    fails: bool
    output: tuple[str, ...]


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return fences(page, page.read_text(encoding="utf-8"))


def fences(page: Path, text: str) -> list[Block]:
    """Return the fenced blocks of a page's text; an unclosed one is an error."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    start, code = 0, []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opening is None:
            if fence:
                opening, start, code = fence, number + 1, []
        elif fence and fence["ticks"] == opening["ticks"] and not fence["info"].strip():
            language, _, needs = opening["info"].strip().partition(" ")
            found.append(Block(page, start, language, "\n".join(code) + "\n", needs.strip()))
            opening = None
        else:
            code.append(line.removeprefix(opening["indent"]))
    assert opening is None, f"{page}:{start}: a block that is not closed"
    return found


def at_port(block: Block, port: int) -> Block:
    """Return a block that needs a broker with another port in the place of the usual one."""
    return block._replace(code=re.sub(rf"\b{BROKERS[block.needs]}\b", str(port), block.code))


def one_session(blocks: Sequence[Block]) -> Block:
    """Return blocks of a page as one, each line where it is in the page."""
    first = blocks[0].line
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - first - len(lines))
        lines += block.code.splitlines()
    return Block(blocks[0].page, first, "console", "\n".join(lines))


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block."""
    found: list[Command] = []
    for number, line in enumerate(block.code.splitlines(), block.line):
        if line.startswith("$ "):
            text = line[2:]
            fails = text.startswith("! ")
            found.append(Command(number, text[2:] if fails else text, fails, ()))
            continue
        assert found, f"{block.page}:{number}: output before the first command"
        last = found[-1]
        if (line.startswith("> ") or line == ">") and not last.output:
            found[-1] = last._replace(text=f"{last.text}\n{line[2:]}")
        elif line.strip():
            found[-1] = last._replace(output=(*last.output, line.rstrip()))
    return found

"""Each page of ten minutes runs in an environment of its own, with only what the page says.

Its blocks of ``console fresh`` are typed one after the other: what they clone is a copy of what
is in git here, what they install comes from a registry by pip, and nothing else is there.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import DOCS, Block, commands, one_session, read_blocks
from tests.docs.session import checkout, of_a_reader, run_console

MOST = {"ten-minutes": 5, "ten-minutes-rows": 5, "ten-minutes-image": 5}
"""Commands from the clone to an answered event; 6 for a page that trains."""
SECONDS = 60
"""What the commands may take besides those of the environment; training may be one of them."""
SPARE = 4
"""How much slower than a reader's a machine may be that runs all tests at once."""
INSTALL = 900

CLONE, PIP = "git clone ", "pip install "
_REGISTRY = ("PIP_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def session_of(page: Path) -> Block | None:
    """Return what is typed on a page, as one session; None on a page that is none of these."""
    blocks = [block for block in read_blocks(page) if block.needs == "fresh"]
    return one_session(blocks) if blocks else None


SESSIONS = [session for page in DOCS if (session := session_of(page))]


def divided(session: Block) -> tuple[Block, Block]:
    """Return the environment's part of a session, without the clone, and what follows."""
    lines = session.code.splitlines()
    (at,) = [at for at, line in enumerate(lines) if line.startswith(f"$ {PIP}")]
    rest = next(at for at in range(at + 1, len(lines)) if lines[at].startswith("$ "))
    assert lines[0].startswith(f"$ {CLONE}"), f"{session.page}: begins with no clone"
    made = session._replace(line=session.line + 1, code="\n".join(lines[1:rest]))
    return made, session._replace(line=session.line + rest, code="\n".join(lines[rest:]))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with a home and with the clone, which goes at the end: it becomes large."""
    (tmp_path / "here").mkdir()
    (tmp_path / "cache").mkdir()
    checkout(tmp_path / "here" / "gpfn")
    yield tmp_path
    shutil.rmtree(tmp_path / "here")


def environments(place: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables for making the environment, and those within it."""
    programs = place / "here" / "gpfn" / ".venv" / "bin"
    within = of_a_reader(place, place / "cache", programs)
    within.pop("PYTHONPATH", None)  # only what the page says
    python = place / "system" / "python3"
    python.parent.mkdir()
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    python.write_text(f"#!/bin/sh\nexec '{base}' \"$@\"\n")
    python.chmod(0o755)
    outside = {name: value for name, value in os.environ.items() if is_of_the_registry(name)}
    kept = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    outside = {"PIP_CACHE_DIR": f"{kept}/pip", **outside, **within}
    return {**outside, "PATH": f"{python.parent}:/usr/bin:/bin"}, within


def is_of_the_registry(name: str) -> bool:
    """Say whether a variable tells how this machine reaches a registry of packages."""
    return name.upper().startswith(_REGISTRY)


@pytest.mark.timeout(INSTALL + SPARE * SECONDS)
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.page.stem)
def test_it_runs_with_what_the_page_says(session: Block, place: Path) -> None:
    made, typed = divided(session)
    outside, within = environments(place)
    run_console(made, place / "here", outside, INSTALL)
    begun = time.monotonic()
    run_console(typed, place / "here", within)
    taken = time.monotonic() - begun
    print(f"{session.page.stem}: {taken:.1f} s for {len(commands(typed))} commands")
    assert taken < SPARE * SECONDS


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.page.stem)
def test_an_event_is_answered_after_few_commands(session: Block) -> None:
    typed = [command.text for command in commands(session)]
    answered = next(at for at, text in enumerate(typed, 1) if text.startswith("gpfn invoke "))
    assert answered <= MOST.get(session.page.stem, 6)
    assert any(text.startswith("gpfn init ") for text in typed[:answered])
    assert any(text.startswith("gpfn doctor ") for text in typed)


def test_there_is_a_page_for_each_kind_and_the_first_one_leads_to_all() -> None:
    kinds = {"image", "rows", "text", "time-series", "pytorch", "scikit-learn", "keras"}
    pages = {f"ten-minutes-{kind}.md" for kind in kinds}
    assert {session.page.name for session in SESSIONS} == {"ten-minutes.md", *pages}
    entry = (ROOT / "docs" / "ten-minutes.md").read_text(encoding="utf-8")
    assert all(f"]({page})" in entry for page in pages)

"""docs/memory.md says how much a caller can make a server take; each row of it is measured."""

import re
from pathlib import Path

import pytest

from gpfn.limits import Limits
from tests.conftest import ROOT
from tests.e2e.memory import ROWS, Row, started

pytestmark = [pytest.mark.timing, pytest.mark.slow]

MB = 1_000_000
SLACK = 4
"""A bound over so many times what was measured says nothing; below 8 MB all of them may."""


def bounds() -> dict[tuple[str, str, str], int]:
    """Return the table of the page: what a request adds at most, in MB."""
    page = (ROOT / "docs" / "memory.md").read_text()
    lines = re.findall(r"^\| `(\w+)` \| [^|]+ \| `([\w ]+)` \| ([^|]+) \| (\d+) MB", page, re.M)
    return {(limit, server, what): int(size) for limit, server, what, size in lines}


def test_every_row_is_measured_and_every_limit_has_one() -> None:
    assert list(bounds()) == list(ROWS)
    named = {limit.removeprefix("GPFN_MAX_").lower() for limit, _, _ in ROWS}
    assert named >= set(Limits._fields)


@pytest.mark.parametrize(("row", "name"), [(row, " | ".join(name)) for name, row in ROWS.items()])
def test_row(row: Row, name: str, tmp_path: Path) -> None:
    limit, server, what = name.split(" | ")
    bound = bounds()[limit, server, what] * MB
    with started(server, row.function, tmp_path, row.environ) as process:
        row.small(process)
        grown = process.grown(lambda: row.act(process))
    print(f"{name}: {grown / MB:.1f} MB")
    assert grown <= bound
    assert bound < SLACK * max(grown, 2 * MB)

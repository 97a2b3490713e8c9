"""From a bridge's file to its parts: what is shared, and what is told when it cannot be."""

from pathlib import Path

import pytest

from gpfn.bridge.config import read_bridge
from gpfn.bridge.opening import open_bridge
from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.log import Log

FUNCTION = 'from gpfn import Function\nhandler = Function(lambda event: 1, takes="event").fn\n'
SOURCE = '[source]\nqueue = "q.db"\ntopics = ["in"]\n'
ROUTE = '[[route]]\ncall = "func.py"\nreply = { topic = "out" }\n'


def opened(folder: Path, text: str) -> object:
    (folder / "func.py").write_text(FUNCTION)
    (folder / "bridge.toml").write_text(text)
    spec = read_bridge(folder / "bridge.toml")
    return open_bridge(spec, limits=Limits(), log=Log("bridge", form="quiet"))


def test_a_queue_that_is_read_and_written_is_opened_once(tmp_path: Path) -> None:
    """So that one transaction holds what is done and what is sent: half of the syncs."""
    bridge = opened(tmp_path, SOURCE + ROUTE)
    assert bridge._source._queue is bridge._sink._queue  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("[source.settings]\nkept = 1\n", "source.settings.kept"),
        ('[source.settings]\nkeep = "long"\n', "source.settings.keep"),
        ("[source.settings]\nlease = -1\n", "source.settings.lease"),
    ],
)
def test_settings_of_a_queue(tmp_path: Path, settings: str, field: str) -> None:
    with pytest.raises(SetupError) as caught:
        opened(tmp_path, SOURCE + settings + ROUTE)
    assert caught.value.field == field


def test_what_is_done_may_be_kept_for_replay(tmp_path: Path) -> None:
    bridge = opened(tmp_path, f'{SOURCE}[source.settings]\nkeep = "1h"\n{ROUTE}')
    assert bridge._source._keep == 3600  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("nowhere", "no such function"),
        ("ftp://host/x", "expected http:// or https://"),
        ("http://", "expected http://HOST"),
        ("broken.py", "SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_is_told_with_its_route(
    tmp_path: Path, call: str, told: str
) -> None:
    (tmp_path / "broken.py").write_text("def")
    with pytest.raises(SetupError, match=told) as caught:
        opened(tmp_path, f'{SOURCE}{ROUTE}[[route]]\nname = "b"\ncall = "{call}"\n')
    assert caught.value.field == "route[1].call"

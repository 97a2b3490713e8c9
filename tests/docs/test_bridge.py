"""docs/bridge.md says of each key of a bridge's file what the bridge reads of it."""

import re
from pathlib import Path

import pytest

from gpfn.bridge.config import read_bridge
from gpfn.bridge.figures import OUTCOMES
from gpfn.bridge.nats.settings import NatsSettings
from gpfn.bridge.spec import CircuitSpec, Delivery
from gpfn.errors import SetupError
from tests.conftest import ROOT
from tests.docs.blocks import read_blocks

PAGE = ROOT / "docs" / "bridge.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = [block for block in read_blocks(PAGE) if block.language == "toml"]
SECRETS = dict.fromkeys(re.findall(r'"env:(\w+)"', TEXT), "secret")

WHOLE = """
[source]
{source}
[[route]]
call = "http://127.0.0.1:9/"
{route}
[delivery]
{delivery}
{more}
"""
KAFKA = 'kafka = "127.0.0.1:9"\ntopics = ["a"]'
REPLY = 'reply = { topic = "b" }'


def whole(source: str = KAFKA, route: str = "", delivery: str = "", more: str = "") -> str:
    return WHOLE.format(source=source, route=route, delivery=delivery, more=more)


ASKED = {
    "": "unknown = 1\n" + whole(),
    "source": whole(f"{KAFKA}\nunknown = 1"),
    "source ": whole('file = "a"\nunknown = 1'),
    "sink": whole(more='[sink]\nkafka = "127.0.0.1:9"\nunknown = 1'),
    "route": whole(route="unknown = 1"),
    "route ": whole(route="unknown = 1").replace("http://127.0.0.1:9/", "destination")
    .replace("unknown", 'allow = ["http://127.0.0.1:9/"]\nunknown'),
    "route  ": whole(route="unknown = 1").replace("http://127.0.0.1:9/", "func.py"),
    "route.reply": whole(route='reply = { topic = "b", unknown = 1 }'),
    "route.retry": whole(route="retry = { unknown = 1 }"),
    "route.circuit": whole(route="circuit = { unknown = 1 }"),
    "route.batch": whole(route="batch = { unknown = 1 }"),
    "delivery": whole(delivery="unknown = 1"),
    "dead-letter": whole(more='[dead-letter]\ntopic = "c"\nunknown = 1'),
}  # fmt: skip
"""A file with a key that nobody knows in each table: the error tells those that are known."""

TABLES = {
    "source",
    "sink",
    "route",
    "delivery",
    "dead-letter",
    "batch",
    "circuit",
    "reply",
    "retry",
}


def known_keys(folder: Path) -> set[str]:
    """Return every key that the bridge asks a file for."""
    found = {f"source.{kind}" for kind in ("kafka", "nats", "queue", "file")}
    found |= {f"sink.{kind}" for kind in ("kafka", "nats", "queue", "file")}
    for name, text in ASKED.items():
        file = folder / "bridge.toml"
        file.write_text(text)
        with pytest.raises(SetupError) as caught:
            read_bridge(file, {})
        told = re.search(r"unknown key; known: ([^;]*?), in /", str(caught.value))
        assert told, caught.value
        table = f"{name.strip()}." if name else ""
        found |= {table + key for key in told[1].split(", ") if key not in TABLES}
    return found


def rows_between(mark: str) -> list[list[str]]:
    """Return the cells of a table of the page."""
    text = TEXT.partition(f"<!-- {mark}: begin -->")[2].partition(f"<!-- {mark}: end -->")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_every_key_once(tmp_path: Path) -> None:
    told = [key for cells in rows_between("keys") for key in re.findall(r"`([^`]+)`", cells[0])]
    assert len(set(told)) == len(told)
    assert set(told) == known_keys(tmp_path)


def test_the_defaults_are_those_of_the_bridge(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(whole(route=f"{REPLY}\nbatch = {{}}"))
    spec = read_bridge(file, {})
    (route,) = spec.routes
    assert route.batch
    defaults = {cells[0].strip("`"): cells[1].strip('`"') for cells in rows_between("keys")}
    numbers = {
        "route.in_flight": route.in_flight,
        "route.timeout": route.timeout,
        **{f"route.retry.{name}": value for name, value in route.retry._asdict().items()},
        **{f"route.circuit.{name}": value for name, value in CircuitSpec()._asdict().items()},
        "route.batch.events": route.batch.events,
        "route.batch.wait_ms": route.batch.wait * 1000,
        **{f"delivery.{name}": value for name, value in Delivery()._asdict().items()
           if name in ("held", "gap", "drain", "hops", "remember")},
    }  # fmt: skip
    assert {name: float(defaults[name]) for name in numbers} == numbers
    assert Delivery().held_bytes == 64 << 20
    assert defaults["delivery.held_bytes"] == "64MiB"
    texts = {
        "source.group": spec.source.group,
        "source.start": spec.source.start,
        "route.send": route.send,
        "route.order": route.order,
        "route.reply.mode": route.reply_mode,
    }
    assert {name: defaults[name] for name in texts} == texts


@pytest.mark.parametrize("number", range(len(FILES)))
def test_every_file_on_the_page_is_read(number: int, tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(FILES[number].code)
    assert read_bridge(file, SECRETS).routes
    assert len(FILES) > 2


def test_every_outcome_is_told() -> None:
    text = TEXT.partition("## What becomes of an event")[2].partition("\n## ")[0]
    assert set(OUTCOMES) <= set(re.findall(r"`([a-z-]+)`", text))


def test_every_setting_of_nats_is_told() -> None:
    text = TEXT.partition("### NATS JetStream")[2].partition("\n### ")[0]
    ours = set(NatsSettings._fields) - {"servers", "side"}
    assert ours <= set(re.findall(r"`([a-z_]+)`", text))

"""What ``wsk`` sent of entities is answered as it was, and as the platform answers it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.openwhisk.recorded import (
    PLATFORM,
    Told,
    is_of_entities,
    read_exchanges,
    replay,
    wrong,
)
from tests.local.openwhisk.whisk_server import whisk_server


@pytest.fixture(scope="module")
def told(shared: Path) -> Iterator[list[Told]]:
    with whisk_server() as server:
        yield replay(server, shared, is_of_entities)
        assert not server.log


def reply_to(told: list[Told], command: str, method: str = "") -> Any:
    """Return the one reply to a command, of those to a method."""
    found = [each for each in told if each.exchange.command == command]
    found = [each for each in found if not method or each.exchange.method == method]
    assert len(found) == 1
    return found[0].reply.json


def test_all_that_calls_nothing_is_replayed(told: list[Told], shared: Path) -> None:
    assert len(told) == 39
    others = [each for each in read_exchanges(shared) if not is_of_entities(each)]
    kinds = {
        re.sub(r"[?].*|/[0-9a-f]{32}.*", "", each.asked.partition("/_/")[2]) for each in others
    }
    assert {kind.partition("/")[0] for kind in kinds} == {"actions", "activations", "triggers"}


def test_status_media_type_and_keys_are_as_recorded(told: list[Told]) -> None:
    assert not [text for each in told for text in wrong(each)]


@pytest.mark.parametrize("pattern", PLATFORM)
def test_each_difference_is_still_one(told: list[Told], pattern: str) -> None:
    documents = [each for each in told if re.match(pattern, each.exchange.asked)]
    assert documents
    for each in documents:
        ours = each.reply.json if isinstance(each.reply.json, list) else [each.reply.json]
        assert all(not PLATFORM[pattern] & {*document} for document in ours)


def test_what_was_sent_is_what_is_there(told: list[Told]) -> None:
    puts = [
        each
        for each in told
        if each.exchange.asked.startswith("PUT ") and "actions" in each.exchange.path
    ]
    assert len(puts) == 9
    for exchange, reply in puts:
        sent, ours = json.loads(exchange.body), reply.json
        assert (ours["namespace"], ours["name"], ours["publish"]) == ("guest", sent["name"], False)
        assert sent.get("limits", {}).items() <= ours["limits"].items()
        assert all(each in ours["annotations"] for each in sent.get("annotations", []))
        assert sent.get("parameters", ours["parameters"]) == ours["parameters"]
        for key in {*sent.get("exec", {})} - {"kind"}:
            assert ours["exec"][key] == sent["exec"][key]


def test_a_new_action_is_as_the_platform_makes_it(told: list[Told]) -> None:
    made = reply_to(told, "wsk action create classify --docker example/classify:1")
    assert made["exec"] == {"kind": "blackbox", "image": "example/classify:1", "binary": False}
    assert made["version"] == "0.0.1"
    assert made["limits"] == {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}
    assert made["annotations"] == [
        {"key": "provide-api-key", "value": False},
        {"key": "exec", "value": "blackbox"},
    ]


def test_the_default_kind_is_the_version_that_it_stands_for(told: list[Told]) -> None:
    made = reply_to(told, "wsk action create thin main.py")
    assert made["exec"]["kind"] == "python:3.10"
    assert {"key": "exec", "value": "python:3.10"} in made["annotations"]


def test_a_zip_is_seen_by_its_look(told: list[Told]) -> None:
    assert reply_to(told, "wsk action create zipped a.zip --kind python:3.11")["exec"]["binary"]


def test_code_comes_back_only_when_it_is_asked_for(told: list[Told]) -> None:
    assert "code" in reply_to(told, "wsk action get thin --save")["exec"]
    assert "code" not in reply_to(told, "wsk action get classify")["exec"]


def test_an_update_keeps_what_it_does_not_name(told: list[Told]) -> None:
    updated = reply_to(told, "wsk action update classify -p topk 3", "PUT")
    assert updated["version"] == "0.0.3"
    assert updated["exec"]["image"] == "example/classify:2"
    assert updated["exec"]["main"] == "predict"
    assert updated["parameters"] == [{"key": "topk", "value": 3}]
    assert {"key": "raw-http", "value": True} in updated["annotations"]


def test_a_rule_is_of_the_names_that_were_sent(told: list[Told]) -> None:
    made = reply_to(told, "wsk rule create r1 t1 classify")
    assert made["trigger"] == {"path": "guest", "name": "t1"}
    assert made["action"] == {"path": "guest", "name": "classify"}
    assert made["status"] == "active"
    assert reply_to(told, "wsk rule get r1")["status"] == "active"  # off, and on again
    assert reply_to(told, "wsk rule delete r1")["status"] == "inactive"


def test_lists_are_of_what_is_there(told: list[Told]) -> None:
    names = [each["name"] for each in reply_to(told, "wsk action list")]
    assert names[:2] == ["classify", "badone"]  # the last changed first
    assert {*names} == {"classify", "classify2", "thin", "zipped", "zipdocker", "badone"}
    assert [each["name"] for each in reply_to(told, "wsk trigger list")] == ["t1"]
    assert reply_to(told, "wsk api list") == {"apis": []}
    assert reply_to(told, "wsk namespace list") == ["guest"]

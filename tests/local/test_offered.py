"""What the console is told of functions."""

import asyncio
from pathlib import Path

import pytest

from gpfn.errors import InvalidRequest
from gpfn.local.calls import Calls, RunningCall
from gpfn.local.console.views import SentEvent
from gpfn.local.images import LocalImages
from gpfn.local.offered import Deployments, OfferedFunctions
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.supervisor.supervisor import ProcessFacts, Supervisor
from gpfn.local.watching import FunctionWatch
from tests.local.test_folders import make
from tests.local.test_placing import YAML, Laptop
from tests.local.test_shown import RECORD, URLS


class Desk(Laptop):
    """A laptop that its console looks at; nothing listens."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place()
        watch = FunctionWatch(folder)
        watch.look()
        self.calls = Calls(self.state)
        deployments = Deployments(self.fns, self.actions, LocalImages(watch))
        self.edits = {"add": [1.0, 2.0]}
        self.offered = OfferedFunctions(deployments, Supervisor(), self.calls, URLS, self.edits)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = make(tmp_path / "add", YAML, "from gpfn import Classifier\nC = Classifier('m')\n")
    (folder / "sample.json").write_text("{}")
    (folder / "sample-2.json").write_text("[]")
    (folder / "secret.json").write_text("1")
    return Desk(tmp_path)


def test_a_function_and_its_action_are_one(desk: Desk) -> None:
    (shown,) = desk.offered.functions()
    assert (shown.name, shown.app, shown.action, shown.trigger) == (
        "add", "demo", "add", "/t/demo/add",
    )  # fmt: skip
    assert shown.ways == ("fn", "trigger", "openwhisk")
    assert shown.keys == (shown.invoke_id, "guest/add")
    assert shown.samples == ("sample-2.json", "sample.json")
    assert (shown.image, shown.memory_limit, shown.saved) == (True, 1024, (1.0, 2.0))
    assert (shown.state, shown.reason) == ("cold", "not called yet")


def test_an_action_of_another_image_stands_for_itself(desk: Desk) -> None:
    code = {"kind": "python:default", "code": "def main(args): return args"}
    desk.actions.put_action(EntityRef("", "add"), {"exec": code}, overwrite=True)
    fn, action = sorted(desk.offered.functions(), key=lambda one: one.ways)
    assert (fn.ways, fn.action) == (("fn", "trigger"), "")
    assert (action.key, action.ways, action.samples) == ("guest/add", ("openwhisk",), ())


def test_the_last_call_says_that_it_failed(desk: Desk) -> None:
    failed = RECORD._replace(key="guest/add", failure="crashed", detail="ended by signal 9")
    desk.calls.add(failed)
    (shown,) = desk.offered.functions()
    assert (shown.state, shown.reason) == ("failed", "ended by signal 9")


def test_only_samples_are_read(desk: Desk) -> None:
    (shown,) = desk.offered.functions()
    assert desk.offered.sample(shown.key, "sample-2.json") == b"[]"
    for key, name in (
        (shown.key, "secret.json"),
        (shown.key, "../add/sample.json"),
        (shown.key, ""),
        ("gone", "sample.json"),
    ):
        with pytest.raises(InvalidRequest) as told:
            desk.offered.sample(key, name)
        assert told.value.status == 404


def test_a_way_that_it_has_not(desk: Desk) -> None:
    desk.actions.delete_action(EntityRef("", "add"))
    (shown,) = desk.offered.functions()
    with pytest.raises(InvalidRequest, match="is not called as openwhisk"):
        asyncio.run(desk.offered.send(SentEvent(shown.key, "openwhisk", "text/plain", b"")))


def test_a_sequence_has_no_processes_and_says_what_it_is_of(desk: Desk) -> None:
    parts = {"kind": "sequence", "components": ["/_/add", "/_/add"]}
    desk.actions.put_action(EntityRef("", "twice"), {"exec": parts}, overwrite=False)
    shown = desk.offered.functions()[-1]
    assert (shown.name, shown.state, shown.reason) == ("twice", "sequence", "of add, add")


def test_calls_that_run_are_told_and_memory_is_of_one_process(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = desk.offered.functions()
    facts = [
        ProcessFacts(shown.invoke_id, "add", "1", 7, "busy", 1, 1.0, 30 << 20),
        ProcessFacts("guest/add", "add", "1", 8, "idle", 1, 1.0, 40 << 20),
    ]
    monkeypatch.setattr(desk.offered._supervisor, "processes", lambda: facts)
    for at in (61.0, 3600.0):
        key = shown.invoke_id
        desk.calls.begin(RunningCall(f"c{at}", "fn", key, "demo/add", "curl", "invoke", at))
    (shown,) = desk.offered.functions()
    assert (shown.state, shown.reason) == ("busy", "2 calls, the first since 00:01:01 UTC")
    assert (shown.memory, shown.processes) == (40 << 20, 2)

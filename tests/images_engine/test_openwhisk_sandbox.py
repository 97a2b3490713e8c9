"""OpenWhisk's images in OpenWhisk's sandbox: /init once, then /run."""

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gpfn.hosts.container import Container, sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.images_engine.clock import Clock
from tests.images_engine.conftest import Build, Start
from tests.images_engine.wire import post

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
NO_CODE = {"value": {"name": "classify", "main": "main", "binary": False, "env": {}}}
OURS = (
    "import os\n"
    "def main(args):\n"
    "    return {'hello': args.get('name'), 'home': os.environ.get('HOME'), 'cwd': os.getcwd()}\n"
)


@pytest.fixture(scope="module")
def closed(engine: ContainerEngine) -> Iterator[str]:
    """A network that leads nowhere: this machine reaches containers, and they nothing."""
    name = f"gpfn-test-{uuid.uuid4().hex[:8]}"
    engine.run("network", "create", "--internal", name)
    yield name
    engine.run("network", "rm", name)


@pytest.fixture
def photo(shared: Path) -> str:
    """The cat in base64."""
    return base64.b64encode((shared / "data" / "images" / "cat_720p.jpg").read_bytes()).decode()


@pytest.fixture
def classify(build: Build, start: Start, closed: str) -> Container:
    """classify, baked in, in 256 MB, with no way out."""
    image = build("functions/classify", "openwhisk")
    return start(image, [*sandbox_flags("openwhisk", 256), f"--network={closed}"])


def activation(value: object) -> dict[str, object]:
    """Return the body of /run."""
    return {"value": value, "activation_id": uuid.uuid4().hex, "deadline": "4102444800000"}


def test_the_flags_are_the_platforms(engine: ContainerEngine, classify: Container) -> None:
    form = "{{json .HostConfig}}"
    host = json.loads(engine.run("inspect", "--format", form, classify.id).stdout)
    assert host["Memory"] == host["MemorySwap"] == 256 << 20
    assert sorted(name.removeprefix("CAP_") for name in host["CapDrop"]) == ["NET_ADMIN", "NET_RAW"]
    assert host["PidsLimit"] == 1024
    assert {"Name": "nofile", "Hard": 1024, "Soft": 1024} in host["Ulimits"]


def test_classify_answers_and_leaves_nothing_on_its_disk(
    engine: ContainerEngine, classify: Container, photo: str
) -> None:
    address = classify.address()
    assert post(address, "/init", NO_CODE).status == 200
    for model, name in (("mobilenet_v2", "Egyptian cat"), ("mobilenet_v1", "Egyptian cat")):
        reply = post(address, "/run", activation({"image": photo, "model": model}))
        assert reply.status == 200
        assert "content-length" in reply.headers
        names = [entry["className"] for entry in reply.json()["results"]]
        assert name in names
    assert classify.log().count(SENTINEL) == 4, "one on each stream for each activation"
    assert 0 < classify.memory(peak=True) < 256 << 20
    assert 0 < classify.threads() <= 20
    assert engine.run("diff", classify.id).stdout == "", "nothing is written outside of memory"


def test_there_is_no_way_out(engine: ContainerEngine, classify: Container) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    run = engine.run("exec", classify.id, "/opt/gpfn/bin/python", "-c", code, check=False)
    assert "unreachable" in run.stderr or "timed out" in run.stderr


def test_a_callers_fault_leaves_the_container_warm(classify: Container, photo: str) -> None:
    address = classify.address()
    post(address, "/init", NO_CODE)
    wrong = post(address, "/run", activation({"image": "bm90IGFuIGltYWdl"}))
    assert wrong.status == 200
    assert "error" in wrong.json()
    assert post(address, "/run", activation({"image": photo})).json()["results"]


def test_a_clock_that_moves(
    build: Build, start: Start, closed: str, photo: str, tmp_path: Path
) -> None:
    """A deadline is a point of the invoker's time: a clock that is set is met by it alone."""
    clock = Clock(tmp_path)
    image = build("functions/classify", "openwhisk")
    container = start(
        image, [*sandbox_flags("openwhisk", 256), f"--network={closed}", *clock.flags]
    )
    address = container.address()
    assert post(address, "/init", NO_CODE).status == 200

    def late(deadline: datetime) -> bool:
        milliseconds = str(int(deadline.timestamp() * 1000))
        reply = post(address, "/run", {**activation({"image": photo}), "deadline": milliseconds})
        assert reply.status == 200, container.log()
        assert ("results" in reply.json()) != ("error" in reply.json())
        return "error" in reply.json()

    ours = clock.in_a_minute()
    assert not late(ours)
    for days in (1, -1, 365 * 20, -365 * 20, 0):
        clock.move(timedelta(days=days))
        assert not late(clock.in_a_minute()), f"{days} days: {container.log()}"
        assert late(ours) == (days > 0)
    assert container.state().running


@pytest.mark.parametrize(
    ("deadline", "late"),
    [("1", True), (1, True), ("4102444800000", False), (32503680000000, False)],
)
def test_deadlines(classify: Container, photo: str, deadline: object, late: bool) -> None:
    address = classify.address()
    post(address, "/init", NO_CODE)
    reply = post(address, "/run", {**activation({"image": photo}), "deadline": deadline})
    assert reply.status == 200
    assert ("error" in reply.json()) == late


def test_pause_and_unpause(classify: Container, photo: str) -> None:
    address = classify.address()
    post(address, "/init", NO_CODE)
    replies = []
    for _ in range(3):
        replies.append(post(address, "/run", activation({"image": photo})).body)
        classify.signal("pause")
        classify.signal("unpause")
    assert len(set(replies)) == 1


def test_sigkill_and_start_again(engine: ContainerEngine, classify: Container, photo: str) -> None:
    post(classify.address(), "/init", NO_CODE)
    classify.signal("kill")
    assert classify.state().killed
    engine.run("start", classify.id)
    address = classify.address()
    assert post(address, "/init", NO_CODE).status == 200, "a new process may be initialised"
    assert post(address, "/run", activation({"image": photo})).json()["results"]


def test_code_from_wsk_in_a_bare_runtime(build: Build, start: Start, closed: str) -> None:
    image = build("", "openwhisk", "--extra", "images")
    bare = start(image, [*sandbox_flags("openwhisk", 128), f"--network={closed}"])
    address = bare.address()
    refused = post(address, "/init", NO_CODE)
    assert refused.status != 200
    assert "Missing main/no code to execute." in refused.json()["error"]
    value = {**NO_CODE["value"], "code": OURS}
    assert post(address, "/init", {"value": value}).status == 200
    reply = post(address, "/run", activation({"name": "Fn"}))
    assert reply.json()["hello"] == "Fn"
    assert reply.json()["home"] == "/"
    again = post(address, "/init", {"value": value})
    assert again.status != 200
    assert again.json()["error"] == "Cannot initialize the action more than once."

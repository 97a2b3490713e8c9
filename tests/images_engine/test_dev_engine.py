"""Images that ``gpfn dev --engine docker`` really runs: the supervisor with containers."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gpfn.hosts.engine import ContainerEngine
from gpfn.hosts.fn import call_id
from gpfn.hosts.fn_request import encode_request
from gpfn.hosts.host import Invocation
from gpfn.hosts.openwhisk import activation_id, run_body
from gpfn.local.calling import CallOutcome, FunctionCall
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from tests.conftest import ROOT
from tests.images_engine.conftest import Build, census, gpfn
from tests.local.dev_process import DevProcess, dev

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()
Calling = Callable[[bytes], Awaitable[CallOutcome]]


def run(deployed: Deployed, steps: Callable[[Calling], Awaitable[None]]) -> None:
    """Call a deployed image some times, and end everything."""

    async def all_of_it() -> None:
        supervisor = Supervisor(SupervisorSettings(engine="docker"))

        async def call(body: bytes) -> CallOutcome:
            return await supervisor.call(deployed, asked(deployed, body))

        try:
            await steps(call)
        finally:
            await supervisor.close()

    asyncio.run(all_of_it())


def asked(deployed: Deployed, body: bytes) -> FunctionCall:
    seconds = deployed.timeout
    if deployed.platform == "fn":
        identifier = call_id()
        media = "text/plain" if body != EVENT else "application/cloudevents+json"
        request = Invocation(body, media, timeout=seconds)
        return FunctionCall(identifier, encode_request(request, identifier), seconds, 30.0)
    identifier = activation_id()
    request = Invocation(body, "application/json", timeout=seconds)
    data, _ = run_body(request, deployed.name, identifier)
    environ = (("__OW_ACTIVATION_ID", identifier),)
    return FunctionCall(identifier, data, seconds, 30.0, environ)


def image_of(platform: str, image: str, **values: object) -> Deployed:
    return Deployed("key", platform, "forecast", "1", image=image, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("platform", ["fn", "openwhisk"])
def test_an_image_is_called_cold_frozen_and_warm(
    engine: ContainerEngine, build: Build, platform: str
) -> None:
    deployed = image_of(platform, build("functions/forecast", platform), memory=256)
    before = census(engine)
    outcomes = []

    async def steps(call: Calling) -> None:
        outcomes.append(await call(EVENT))
        await asyncio.sleep(0.6)  # Fn's is paused meanwhile
        outcomes.append(await call(EVENT))

    run(deployed, steps)
    cold, warm = outcomes
    assert (cold.failure, warm.failure) == ("", ""), (cold.detail, warm.detail)
    assert (cold.cold, warm.cold) == (True, False)
    for outcome in outcomes:
        assert outcome.answer is not None
        assert outcome.answer.status == 200
        assert json.loads(outcome.answer.body)["type"] == "com.example.forecast.response"
        assert outcome.memory > 1 << 20
    assert warm.stages.start == 0 < cold.stages.start
    assert "ready" in " ".join(text for _, _, text in (*cold.log, *warm.log))
    assert census(engine) == before


def test_an_image_that_is_not_there(engine: ContainerEngine) -> None:
    before = census(engine)
    outcomes = []

    async def steps(call: Calling) -> None:
        outcomes.append(await call(b""))

    run(image_of("fn", "gpfn-test/absent:1"), steps)
    assert outcomes[0].failure == "start failed"
    assert "gpfn-test/absent:1" in outcomes[0].detail
    assert census(engine) == before


def test_a_call_over_its_time_ends_the_container(
    engine: ContainerEngine, build: Build, tmp_path: Path
) -> None:
    (tmp_path / "func.py").write_text(SLEEPER)
    (tmp_path / "func.yaml").write_text("name: sleeper\nversion: 0.0.1\n")
    deployed = image_of("fn", build(str(tmp_path), "fn"), timeout=2.0)
    before = census(engine)
    outcomes = []

    async def steps(call: Calling) -> None:
        outcomes.append(await call(b"sleep"))
        outcomes.append(await call(b"memory"))
        outcomes.append(await call(b"hello"))

    run(deployed, steps)
    assert [outcome.failure for outcome in outcomes] == ["timed out", "memory", ""]
    assert outcomes[2].answer is not None
    assert outcomes[2].answer.body == b"hello"
    assert outcomes[2].cold
    assert census(engine) == before


def test_gpfn_dev_runs_an_image_that_no_folder_is_known_for(
    engine: ContainerEngine, build: Build, tmp_path: Path
) -> None:
    """Deployed and called by gpfn alone, on both platforms; nothing of it is left."""
    fn, openwhisk = (build("functions/forecast", name) for name in ("fn", "openwhisk"))
    before = census(engine)
    folder = tmp_path / "functions"
    folder.mkdir()
    (tmp_path / "remote").mkdir()
    text = "name: other\nversion: 0.0.1\nmemory: 256\n"
    (tmp_path / "remote" / "func.yaml").write_text(text)
    (tmp_path / "remote" / "func.py").write_text(SLEEPER)
    with dev(folder, "--engine", "docker", "--memory") as process:
        where = ("--at", process.fn, "--app", "models", "--create-app", "--image", fn)
        deployed = gpfn("deploy", "fn", str(tmp_path / "remote"), *where)
        assert deployed.returncode == 0, deployed.stderr
        answer = gpfn("invoke", "--at", process.fn, "models/other", stdin=EVENT)
        assert json.loads(answer.stdout)["type"] == "com.example.forecast.response", answer.stderr
        key = ("--at", process.openwhisk, "--auth", process.auth)
        deployed = gpfn("deploy", "openwhisk", str(tmp_path / "remote"), *key, "--image", openwhisk)
        assert deployed.returncode == 0, deployed.stderr
        answer = gpfn("invoke", *key, "--platform", "openwhisk", "other", stdin=EVENT)
        assert json.loads(answer.stdout)["type"] == "com.example.forecast.response", answer.stderr
    assert census(engine) == before


def test_what_a_killed_gpfn_dev_left_is_removed_by_the_next(
    engine: ContainerEngine, build: Build, tmp_path: Path
) -> None:
    image = build("functions/forecast", "fn")
    before = census(engine)
    folder = tmp_path / "empty"
    folder.mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "func.yaml").write_text("name: other\nversion: 0.0.1\nmemory: 256\n")
    deploy = ("deploy", "fn", str(tmp_path / "other"), "--app", "models", "--create-app")

    def called(process: DevProcess) -> None:
        run = gpfn(*deploy, "--at", process.fn, "--image", image)
        assert run.returncode == 0, run.stderr
        run = gpfn("invoke", "--at", process.fn, "models/other", stdin=EVENT)
        assert run.returncode == 0, run.stderr

    with dev(folder, "--engine", "docker") as killed:
        called(killed)
        killed.end(signal.SIGKILL)
    left = census(engine)[0] - before[0]
    assert len(left) == 1, "its container goes on"
    with dev(folder, "--engine", "docker") as process:
        called(process)
        assert not left & census(engine)[0]
    assert census(engine) == before


SLEEPER = """
import time

from gpfn import Function, Payload


def answer(payload):
    if payload.data == b"sleep":
        time.sleep(60)
    if payload.data == b"memory":
        held = [b"x" * (1 << 24) for _ in range(200)]
        return Payload(b"%d" % len(held), "text/plain")
    return Payload(payload.data, "text/plain")


handler = Function(answer, takes="payload").fn
"""

"""Fn's images in Fn's sandbox, called with the bytes of a real Fn server."""

import json
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gpfn.hosts.container import Container, sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.clock import Clock
from tests.images_engine.conftest import Build, Start
from tests.images_engine.wire import FUTURE, Reply, recorded, say, with_deadline, with_event

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()
LISTENS_WITHIN = 5.0  # FN_HOT_START_TIMEOUT_MSECS


class Fn:
    """A function in its container, with the folder of its socket."""

    def __init__(self, container: Container, folder: Path) -> None:
        self.container, self.folder = container, folder
        self.seconds = container.wait_until((folder / "lsnr.sock").exists, LISTENS_WITHIN)


@pytest.fixture
def forecast(build: Build, start: Start, folder: Path) -> Fn:
    """forecast in 128 MB, without any network."""
    image = build("functions/forecast", "fn")
    return Fn(start(image, [*sandbox_flags("fn", 128, folder), "--network=none"]), folder)


def test_the_flags_are_the_platforms(engine: ContainerEngine, forecast: Fn) -> None:
    """What the engine has understood, against the contract."""
    form = "{{json .HostConfig}}"
    host = json.loads(engine.run("inspect", "--format", form, forecast.container.id).stdout)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 50
    assert host["Memory"] == host["MemorySwap"] == 128 << 20
    assert {"Name": "nofile", "Hard": 350, "Soft": 350} in host["Ulimits"]
    assert "noexec" in host["Tmpfs"]["/tmp"]
    assert host["NetworkMode"] == "none"


def test_the_sandbox_is_the_recorded_one(
    engine: ContainerEngine, forecast: Fn, shared: Path
) -> None:
    """The recording's last line tells what a function sees on a real server."""
    last = (shared / "reference" / "wire" / "fn-socket.jsonl").read_text().splitlines()[-1]
    real = json.loads(last)
    code = (
        "import json, os, resource as r\n"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status'))\n"
        "names = ('NOFILE', 'MEMLOCK')\n"
        "print(json.dumps({'uid': os.getuid(), 'gid': os.getgid(), 'cwd': os.getcwd(),\n"
        " 'home': os.environ['HOME'], 'format': os.environ['FN_FORMAT'],\n"
        " 'listener': os.environ['FN_LISTENER'], 'memory': os.environ['FN_MEMORY'],\n"
        " 'limits': {n: r.getrlimit(getattr(r, 'RLIMIT_' + n)) for n in names},\n"
        " 'capabilities': int(status['CapEff'], 16), 'new': status['NoNewPrivs'].strip(),\n"
        " 'tmp': [l.split()[3] for l in open('/proc/mounts') if l.split()[1] == '/tmp'],\n"
        " 'root': [l.split()[3].split(',')[0] for l in open('/proc/mounts') if\n"
        "          l.split()[1] == '/']}))"
    )
    run = engine.run("exec", forecast.container.id, "/opt/gpfn/bin/python", "-c", code)
    seen = json.loads(run.stdout)
    assert (seen["uid"], seen["gid"], seen["cwd"]) == (real["uid"], real["gid"], real["cwd"])
    assert seen["home"] == real["env"]["HOME"] == "/"
    assert seen["listener"] == real["env"]["FN_LISTENER"]
    assert seen["format"] == real["env"]["FN_FORMAT"]
    assert seen["memory"] == real["env"]["FN_MEMORY"]
    assert seen["limits"]["NOFILE"] == real["limits"]["RLIMIT_NOFILE"]
    assert seen["limits"]["MEMLOCK"] == real["limits"]["RLIMIT_MEMLOCK"]
    assert (seen["capabilities"], seen["new"]) == (0, "1")
    assert "noexec" in seen["tmp"][0]
    assert seen["root"] == ["ro"]


def test_the_recorded_bytes_are_answered(forecast: Fn, shared: Path) -> None:
    cases = recorded(shared)
    assert len(cases) == 6
    for case, request in cases.items():
        late = say(forecast.folder, request)
        assert late.status in (200, 502, 504), f"{case}: {late.status} kills the container"
        fresh = say(forecast.folder, with_deadline(request, FUTURE))
        assert fresh.status in (200, 502), f"{case}: {fresh.status}"
    good = say(forecast.folder, with_event(cases["invoke, 8 byte body"], EVENT))
    assert good.status == 200
    assert good.json()["type"] == "com.example.forecast.response"
    assert len(good.json()["data"][0]) == 20


def test_a_clock_that_moves(
    build: Build, start: Start, folder: Path, shared: Path, tmp_path: Path
) -> None:
    """Deadlines are points of the caller's time: a clock that is set is met by them alone."""
    clock = Clock(tmp_path)
    image = build("functions/forecast", "fn")
    flags = [*sandbox_flags("fn", 128, folder), "--network=none", *clock.flags]
    container = start(image, flags)
    container.wait_until((folder / "lsnr.sock").exists, LISTENS_WITHIN)
    request = with_event(recorded(shared)["invoke, 8 byte body"], EVENT)

    def call(deadline: datetime) -> Reply:
        return say(folder, with_deadline(request, f"{deadline:%Y-%m-%dT%H:%M:%SZ}"))

    ours = clock.in_a_minute()
    assert call(ours).status == 200
    for days in (1, -1, 365 * 20, -365 * 20, 0):
        clock.move(timedelta(days=days))
        reply = call(clock.in_a_minute())
        assert reply.status == 200, f"{days} days: {container.log()}"
        assert reply.json()["time"][:13] == f"{clock.in_a_minute():%Y-%m-%dT%H}"[:13]
        assert call(ours).status == (504 if days > 0 else 200)
    assert container.state().running
    assert call(ours).status == 200


def test_a_deadline_that_is_past_on_arrival(forecast: Fn, shared: Path) -> None:
    request = with_event(recorded(shared)["invoke, 8 byte body"], EVENT)
    late = say(forecast.folder, with_deadline(request, "1999-01-01T00:00:00Z"))
    assert late.status == 504
    assert late.json()["error"]["type"] == "deadline-exceeded"
    assert say(forecast.folder, request).status == 200


def test_pause_and_unpause_between_calls(forecast: Fn, shared: Path) -> None:
    request = with_event(recorded(shared)["invoke, 8 byte body"], EVENT)
    replies = []
    for _ in range(5):
        replies.append(say(forecast.folder, request).json()["data"])
        forecast.container.signal("pause")
        time.sleep(0.05)
        forecast.container.signal("unpause")
    assert all(reply == replies[0] for reply in replies)


def test_sigkill_and_start_again(forecast: Fn, build: Build, start: Start, shared: Path) -> None:
    """The next container comes to a folder with a stale socket."""
    request = with_event(recorded(shared)["invoke, 8 byte body"], EVENT)
    say(forecast.folder, request)
    forecast.container.signal("kill")
    assert (forecast.folder / "lsnr.sock").is_symlink(), "SIGKILL leaves it"
    image = build("functions/forecast", "fn")
    again = start(image, [*sandbox_flags("fn", 128, forecast.folder), "--network=none"])
    again.wait_until(lambda: "listening on" in again.log(), LISTENS_WITHIN)
    assert say(forecast.folder, request).status == 200


def test_sigterm_ends_it_and_removes_the_socket(forecast: Fn) -> None:
    ended = forecast.container.stop(grace=5)
    assert ended is not None
    assert ended.exit_code == 0
    assert list(forecast.folder.iterdir()) == []


def test_threads_and_memory_of_forecast(forecast: Fn, shared: Path) -> None:
    request = with_event(recorded(shared)["invoke, 8 byte body"], EVENT)
    for _ in range(20):
        assert say(forecast.folder, request).status == 200
    assert 0 < forecast.container.threads() <= 20
    assert 0 < forecast.container.memory(peak=True) < 128 << 20
    assert forecast.seconds < LISTENS_WITHIN


def test_classify_v2_in_256_mb(build: Build, start: Start, folder: Path, shared: Path) -> None:
    image = build("functions/classify", "fn")
    container = start(image, [*sandbox_flags("fn", 256, folder), "--network=none"])
    classify = Fn(container, folder)
    photo = (shared / "data" / "images" / "cat_720p.jpg").read_bytes()
    head = recorded(shared)["invoke, 8 byte body"].replace(b"text/plain", b"image/jpeg")
    for _ in range(5):
        reply = say(folder, with_event(head, photo))
        assert reply.json()["results"][0]["className"] == "Egyptian cat"
    assert 0 < container.threads() <= 20
    assert 0 < container.memory(peak=True) < 256 << 20
    assert classify.seconds < LISTENS_WITHIN


def test_nothing_but_tmp_can_be_written(engine: ContainerEngine, forecast: Fn) -> None:
    code = (
        "import os\n"
        "for place in ('/', '/function', '/opt/gpfn', '/tmp'):\n"
        "    try:\n"
        "        open(os.path.join(place, 'probe'), 'w').close()\n"
        "    except OSError:\n"
        "        continue\n"
        "    print(place)\n"
    )
    run = engine.run("exec", forecast.container.id, "/opt/gpfn/bin/python", "-c", code)
    assert run.stdout.split() == ["/tmp"]

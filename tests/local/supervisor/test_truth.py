"""What a function finds around itself, beside what a real server gave (wire/fn-socket.jsonl)."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.emulated import emulated, emulated_with
from gpfn.local.supervisor.sandbox import Means, find_means, is_private, writable_mounts
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from gpfn.local.supervisor.tree import has_ended
from tests.conftest import ROOT
from tests.local.supervisor.functions import (
    ECHO,
    action,
    body_of,
    function,
    on_fn,
    on_openwhisk,
    supervised,
)

LOOK = """
import json, os, resource

def handler(ctx, data=None):
    tried = {}
    for path in json.loads(data.getvalue()):
        try:
            with open(os.path.join(path, "gpfn-tried"), "w"):
                tried[path] = "written"
            os.unlink(os.path.join(path, "gpfn-tried"))
        except OSError as error:
            tried[path] = type(error).__name__ + str(error.errno)
    return json.dumps({
        "environ": dict(os.environ), "cwd": os.getcwd(), "tried": tried,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "threads": len(os.listdir("/proc/self/task")),
    })

def main(args):
    class Data:
        def getvalue(self):
            return json.dumps(args.get("paths", []))
    return json.loads(handler(None, Data()))
"""


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that is not below /tmp, so that a function can have a /tmp of its own."""
    folder = Path(tempfile.mkdtemp(prefix="gpfn-test-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


def looked(deployed: Deployed, paths: list[str], settings: SupervisorSettings | None = None):
    """Return what a function sees."""

    async def work(supervisor: Supervisor) -> bytes:
        fn = deployed.platform == "fn"
        call = on_fn(json.dumps(paths).encode()) if fn else on_openwhisk({"paths": paths})
        return body_of(await supervisor.call(deployed, call))

    return json.loads(supervised(work, settings))


def test_the_environment_is_the_platforms(elsewhere, shared, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    monkeypatch.setenv("GPFN_LOG", "json")
    environ = {"MODEL": "forecast", "FN_MEMORY": "of the config"}
    deployed = function(elsewhere / "f", LOOK, environ=environ, memory=192)
    seen = looked(deployed, [])["environ"]
    lines = (shared / "reference/wire/fn-socket.jsonl").read_text().splitlines()
    real = next(row for row in map(json.loads, lines) if row["case"].startswith("sandbox"))["env"]
    of_the_image = {"GP_SERVER_URL"}
    assert set(real) - of_the_image <= set(seen) | {"LC_CTYPE"}
    ours = {"MODEL", "LANG", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH"}
    ours.add("PYTHONDONTWRITEBYTECODE")
    assert set(seen) - set(real) <= ours
    for name in ("FN_TYPE", "FN_FORMAT", "HOME"):
        assert seen[name] == real[name]
    assert seen["FN_MEMORY"] == "192"
    assert seen["FN_FN_ID"] == "f"
    assert seen["FN_LISTENER"].endswith("lsnr.sock")
    if find_means().mounts and is_private([elsewhere]):  # but for a checkout in /tmp
        assert seen["FN_LISTENER"] == real["FN_LISTENER"]
        assert "TMPDIR" not in seen


def test_an_action_finds_its_variables_in_the_call(monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    deployed = action(LOOK, environ={"__OW_API_HOST": "http://127.0.0.1:3233"})

    async def work(supervisor: Supervisor) -> bytes:
        call = on_openwhisk({}, __OW_ACTION_NAME="/guest/a")
        return body_of(await supervisor.call(deployed, call))

    seen = json.loads(supervised(work))["environ"]
    assert seen["__OW_ACTION_NAME"] == "/guest/a"
    assert seen["__OW_API_HOST"] == "http://127.0.0.1:3233"
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert not [name for name in seen if name.startswith("GPFN")]


def test_files_are_as_many_as_there(elsewhere: Path) -> None:
    deployed = function(elsewhere / "f", LOOK)
    assert looked(deployed, [])["files"] == [350, 350]
    assert looked(action(LOOK), [])["files"] == [1024, 1024]
    lenient = looked(deployed, [], SupervisorSettings(truth=False))
    assert lenient["files"] != [350, 350]


def test_the_tree_cannot_be_written_where_that_can_be_done(elsewhere: Path, tmp_path: Path) -> None:
    deployed = function(elsewhere / "f", LOOK)
    place = str(elsewhere / "f")
    tried = looked(deployed, [place, "/tmp", "/var/tmp"])["tried"]
    expected = "OSError30" if find_means().mounts else "written"
    assert tried["/tmp"] == ("written" if is_private([elsewhere]) else expected)
    assert (tried[place], tried["/var/tmp"]) == (expected, expected)
    # what is needed lies in /tmp: then it is that of all, and TMPDIR is its own
    below = function(tmp_path / "f", LOOK)
    assert looked(below, [str(tmp_path)])["tried"] == {str(tmp_path): expected}
    assert not Path("/tmp/gpfn-tried").exists()


def test_root_cannot_undo_it(elsewhere: Path) -> None:
    source = """
        import os, subprocess
        def handler(ctx, data=None):
            words = ["mount", "-o", "remount,bind,rw", "/"]
            done = subprocess.run(words, capture_output=True)
            status = open("/proc/self/status").read()
            rights = next(line for line in status.splitlines() if line.startswith("CapEff"))
            return f"{done.returncode} {int(rights.split()[1], 16)}"
        """

    async def work(supervisor: Supervisor) -> bytes:
        return body_of(await supervisor.call(function(elsewhere / "f", source), on_fn()))

    code, rights = supervised(work).split()
    assert code != b"0"
    assert int(rights) in (0, 4)  # at most CAP_DAC_READ_SEARCH


def test_processes_and_threads_are_fifty(elsewhere: Path) -> None:
    source = """
        import threading, time
        def handler(ctx, data=None):
            made = 0
            try:
                while made < 200:
                    threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()
                    made += 1
            except RuntimeError:
                pass
            time.sleep(0.3)
            return str(made)
        """

    async def work(supervisor: Supervisor) -> None:
        outcome = await supervisor.call(function(elsewhere / "f", source), on_fn())
        if find_means().cgroup:
            assert 40 <= int(body_of(outcome)) < 50
        else:
            assert outcome.failure == "crashed"
            assert "50 processes and threads" in outcome.detail

    supervised(work)


def test_an_action_has_its_memory_and_no_more() -> None:
    source = "def main(args):\n    return {'n': len(b'x' * (args['mb'] << 20))}\n"
    deployed = action(source, memory=256)

    async def work(supervisor: Supervisor) -> None:
        body_of(await supervisor.call(deployed, on_openwhisk({"mb": 100})))
        outcome = await supervisor.call(deployed, on_openwhisk({"mb": 600}))
        assert outcome.failure == "memory"
        assert outcome.detail == "it was ended for more than its 256 MB of memory"

    supervised(work)


def test_functions_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    deployed = function(tmp_path / "f", ECHO)
    program = f"""
        import asyncio, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.local.supervisor.functions import on_fn, function
        from gpfn.local.deployed import Deployed
        from gpfn.local.supervisor.supervisor import Supervisor
        async def main():
            deployed = Deployed("k", "fn", "f", "1", file=Path({str(deployed.file)!r}))
            outcome = await Supervisor().call(deployed, on_fn())
            print(outcome.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        number = int(server.stdout.readline())
        assert not has_ended(number)
        os.kill(server.pid, signal.SIGKILL)
    late = time.monotonic() + 5
    while not has_ended(number) and time.monotonic() < late:
        time.sleep(0.01)
    assert has_ended(number)
    supervised(lambda supervisor: supervisor.call(deployed, on_fn()))  # and it clears up
    left = [name for name in os.listdir("/tmp") if name.startswith(f"gpfn-dev-{server.pid}-")]
    assert not left


ROOTS, NOBODYS = Means(True, 2, True), Means(False, 0, False)


def test_the_rows_say_what_is_held() -> None:
    roots = {row.what: row for row in emulated_with(ROOTS, truth=True)}
    nobodys = {row.what: row for row in emulated_with(NOBODYS, truth=True)}
    assert roots["memory"].same
    assert not nobodys["memory"].same
    assert "50 ms" in nobodys["memory"].here
    assert "RLIMIT_NPROC" in nobodys["processes and threads"].reason
    assert "kill -9" in nobodys["end of the server"].here
    assert roots["open files"][:4] == ("open files", "350", "1024", "RLIMIT_NOFILE")
    assert "a warning over 6 MiB" in roots["size of a body"].here
    lenient = {row.what: row for row in emulated_with(ROOTS, truth=False)}
    assert lenient["memory"].here == "not held"
    assert lenient["log of a call"].same
    assert emulated() == emulated_with(find_means(), truth=True)
    assert all(row.what and row.here and row.fn and row.openwhisk for row in emulated())


def test_mounts_keep_their_flags() -> None:
    mountinfo = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:5 / /proc rw,nosuid - proc proc rw\n"
        "24 22 8:2 / /a\\040b rw,nodev,nosuid - ext4 /dev/sdb rw\n"
        "25 22 8:3 / /ro ro,relatime - ext4 /dev/sdc ro\n"
        "26 22 0:9 / /run/ns rw - nsfs nsfs rw\n"
    )
    assert list(writable_mounts(mountinfo)) == [("/", ()), ("/a b", ("nodev", "nosuid"))]


def test_a_supervisor_can_be_closed_before_it_was_used() -> None:
    asyncio.run(Supervisor().close())

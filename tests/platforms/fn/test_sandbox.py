"""The environment and the limits of a real container, as a recording shows them."""

import json
import os
import resource
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.platforms.fn.container import OURS, Container, call_bytes


def recorded(shared: Path) -> dict[str, object]:
    """Return what a function in a real container saw."""
    lines = (shared / "reference/wire/fn-socket.jsonl").read_text().splitlines()
    return next(case for line in lines if "env" in (case := json.loads(line)))


def confine() -> None:
    """Allow 350 files, and no byte to be written to any file: as a read-only root does."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (350, 350))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


@pytest.mark.parametrize(
    "function", ["functions/forecast/func.py", "tests/platforms/fn/files/echo.py"]
)
def test_a_function_runs_as_it_would_in_the_container(shared: Path, function: str) -> None:
    variables = dict(recorded(shared)["env"])  # type: ignore[call-overload]
    del variables["GP_SERVER_URL"]  # the recording's function had a model server
    assert variables["HOME"] == "/"
    assert "FN_APP_NAME" not in variables
    with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as folder:
        listener = Path(folder) / "lsnr.sock"
        process = subprocess.Popen(
            [*OURS, str(ROOT / function)],
            env={**variables, "FN_LISTENER": f"unix:{listener}"},
            cwd=ROOT / "functions",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=confine,  # noqa: PLW1509 - there are no threads here
        )
        running = Container(process, listener, Path(os.devnull))
        running.wait()
        reply = running.call(call_bytes(b"[%b]" % b",".join([b"20.5"] * 20)))
        assert reply.status == 200
        assert reply.header("content-type") != "application/problem+json"
        threads = Path(f"/proc/{process.pid}/task")
        assert len(list(threads.iterdir())) < 50
        assert running.resident() < 128e6
        assert running.stop() == 0
        assert os.listdir(folder) == []
        assert process.stderr
        log = process.stderr.read().decode()
        process.stderr.close()
    assert "Traceback" not in log

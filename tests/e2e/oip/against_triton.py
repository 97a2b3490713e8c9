"""Make the recorded calls against a real Triton: it must answer as it did.

That proves the harness. Run it after ``make peers bench-peers``:

    .venv/bin/python -m tests.e2e.oip.against_triton FOLDER_OF_RECORDINGS
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT
from tests.e2e.oip.models import TRITON, write_tritons
from tests.e2e.oip.recordings import Call, read_calls
from tests.e2e.oip.replay import CLIENTS, Replay

__all__ = ["main"]


def main() -> int:
    """Print what differs."""
    port = 18700
    environments = ROOT / ".venvs"
    calls = read_calls(Path(sys.argv[1]) / "oip.jsonl")
    with tempfile.TemporaryDirectory() as name:
        models, files = Path(name) / "models", Path(name) / "files"
        files.mkdir()
        write_tritons(TRITON, models)
        python = environments / "triton" / "bin" / "python"
        command = [str(python), "benchmarks/peers/run_triton.py"]
        flags = ["--model-control-mode=explicit", "--log-error=false", "--log-info=false"]
        flags += [f"--load-model={m.name}" for m in TRITON if m.name != "ensembleless"]
        arguments = [str(models), f"--port={port}", *flags]
        server = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            while not (line := server.stdout.readline()).startswith("ready"):
                assert line, "it has ended"
            ports = {"18100": port, "18101": port + 1, "18002": port + 2}
            print(f"{_replay(calls, Replay(ports, environments, files))} calls made")
        finally:
            server.terminate()
            server.wait()
    return 0


def _replay(calls: Iterable[Call], replay: Replay) -> int:
    count = 0
    for call in calls:
        if call.server == "triton" and call.client in (*CLIENTS, "curl"):
            count += 1
            for kind, detail in replay(call).items():
                print(f"{call.number:3} {call.client}, {call.case}: {kind}: {detail}"[:900])
    replay.close()
    return count


if __name__ == "__main__":
    sys.exit(main())

"""Our server with the models of the recordings: one process for each server that was recorded."""

import time
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cli.serving import Served, serve, wait_for
from tests.e2e.oip.models import KSERVE, KSERVE_V1, MLSERVER, TRITON, Recorded, write_ours

__all__ = ["Ports", "recorded_servers", "serving"]

SERVERS = {"18100": TRITON, "18210": KSERVE, "18211": KSERVE_V1, "18310": MLSERVER}
"""The models by the port that they were recorded at; KServe's for V1 was the same as for V2."""


class Ports(NamedTuple):
    """Where a server listens."""

    http: int
    grpc: int


@contextmanager
def recorded_servers(folder: Path) -> Iterator[dict[str, int]]:
    """Serve all models; yields our port for each recorded one."""
    with ExitStack() as running:
        found = {
            port: running.enter_context(serving(models, folder / port))
            for port, models in SERVERS.items()
        }
        triton = found["18100"]
        ports = {port: each.http for port, each in found.items()}
        yield ports | {"18101": triton.grpc, "18002": triton.http}


@contextmanager
def serving(models: Sequence[Recorded], folder: Path, *flags: str) -> Iterator[Ports]:
    """Serve models of a folder in a process of its own; yields its ports when all are ready."""
    write_ours(models, folder / "models")
    options = ["--models-dir", str(folder / "models"), "--grpc", "127.0.0.1:0", *flags]
    with serve(folder, *options) as served:
        give_up = time.monotonic() + 60
        while not _ready(served):
            assert time.monotonic() < give_up, served.log.read_text()
            time.sleep(0.05)
        grpc = wait_for(served.log, served.process, r"gRPC on \S+:(\d+)")
        yield Ports(int(served.url.rpartition(":")[2]), int(grpc))


def _ready(served: Served) -> bool:
    try:
        served.get("/v2/health/ready")
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return False
        raise
    return True

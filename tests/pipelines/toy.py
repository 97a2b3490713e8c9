"""Pipelines of small stages on free ports, for tests that start them."""

import os
import socket
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import ROOT

__all__ = ["alive", "counted", "free_ports", "toy_file", "write_pipeline"]


def free_ports(count: int) -> list[int]:
    """Return ports where nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_pipeline(folder: Path, stages: Mapping[str, Mapping[str, object]]) -> Path:
    """Write a pipeline's file; values are written as TOML has them."""
    lines = []
    for name, keys in stages.items():
        lines.append(f"[stages.{name}]")
        lines += [f'{key} = "{value}"' for key, value in keys.items()]
    file = folder / "toy.pipeline.toml"
    file.write_text("\n".join(lines))
    return file


def toy_file(folder: Path, place: str = "client", **targets: object) -> tuple[Path, int, int]:
    """Write the toy pipeline on free ports; returns the file and the two ports."""
    first, second = free_ports(2)
    usual = {name: ROOT / "functions" / name / "func.py" for name in ("multiply", "add")}
    stages: dict[str, dict[str, object]] = {
        name: {"target": target, "listen": f"127.0.0.1:{port}", "place": place}
        for (name, target), port in zip({**usual, **targets}.items(), (first, second), strict=True)
    }
    return write_pipeline(folder, stages), first, second


def counted(port: int, name: str = "gpfn_inference_requests_total") -> float:
    """Return what a stage has counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text: str = reply.read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def alive(pid: int) -> bool:
    """Say whether a process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

"""L: how the socket has to appear (fn-format.md; agent.go:974-1059)."""

import os

from gpfn.certify.check import Checklist, expect, not_applicable
from gpfn.certify.fn.container import START_SECONDS, Containers, appear, connects, is_socket

__all__ = ["CHECKS"]

_check: Checklist[Containers] = Checklist()
CHECKS = _check.checks


@_check("L1", "the socket appears within 5 s", "agent.go:917-942, config.go:175")
def _in_time(containers: Containers) -> None:
    with containers.starting() as (running, path):
        seconds = appear(running, path)
        expect(seconds < START_SECONDS, f"it took {seconds:.1f} s")


@_check("L2", "it is accepting when its name appears", "fn-format.md:5-48, agent.go:974-1000")
def _ready(containers: Containers) -> None:
    for _ in range(3):
        with containers.starting() as (running, path):
            appear(running, path)
            expect(connects(path), "the first connection was refused")


@_check("L3", "it is a socket, or a link to one beside it", "agent.go:1047-1059")
def _kind(containers: Containers) -> None:
    with containers.starting() as (running, path):
        appear(running, path)
        if path.is_symlink():
            target = os.readlink(path)
            expect("/" not in target, f"the link leads to {target}, which has a folder")
        expect(is_socket(path), "it is no socket")


@_check("L4", "every user may write to it", "fn-format.md: mode at least 0666")
def _mode(containers: Containers) -> None:
    with containers.starting() as (running, path):
        appear(running, path)
        mode = path.stat().st_mode & 0o777
        expect(mode & 0o666 == 0o666, f"its mode is {mode:o}")


@_check("L5", "another name and folder than usual", "FN_LISTENER; fdk-node issue 56")
def _elsewhere(containers: Containers) -> None:
    """The folder is another one each time here; only its place in an image is fixed."""
    if containers.subject.kind != "command":
        not_applicable("the folder is mounted where the agent mounts it")
    with containers.starting() as (running, first):
        appear(running, first)
    with containers.starting() as (running, second):
        appear(running, second)
        expect(first.parent != second.parent and connects(second), "it does not listen there")

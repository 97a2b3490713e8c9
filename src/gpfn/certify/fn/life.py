"""F: frozen between calls, called again and again, within the sandbox's bounds."""

import time

from gpfn.certify.check import Checklist, expect
from gpfn.certify.fn.container import Containers
from gpfn.hosts.host import Request

__all__ = ["CHECKS"]

_check: Checklist[Containers] = Checklist()
CHECKS = _check.checks

_FILES = 350


@_check("F1", "frozen between calls", "docker pause after 50 ms idle, agent.go:1074-1143")
def _frozen(containers: Containers) -> None:
    with containers.ready() as called:
        for number in range(3):
            called.expect_known(f"call {number}", Request())
            called.running.freeze()
            time.sleep(0.05)
            called.running.thaw()
        called.expect_known("the last call", Request())


@_check("F2", "100 calls on new connections leave no file open", "350 files, config.go:165-168")
def _files(containers: Containers) -> None:
    with containers.ready() as called:
        for _ in range(3):
            called.expect_known("a call", Request())
            called.hang_up()
        before = called.running.open_files()
        for _ in range(100):
            called.expect_known("a call", Request())
            called.hang_up()
        after = called.running.open_files()
        expect(after <= before + 2, f"{before} files were open, and {after} after 100 calls")
        expect(after < _FILES, f"{after} files are open, of {_FILES} that it may have")


@_check("F3", "the process outlives a caller that breaks off", "agent.go:671-701")
def _broken_off(containers: Containers) -> None:
    with containers.ready() as called:
        for part in (b"POST /call HTTP/1.1\r\nHost: localhost\r\n", b"POST /call"):
            called.connection().sock.sendall(part)
            called.hang_up()
            time.sleep(0.05)
            expect(called.running.alive(), "the process has ended")
            called.expect_known("the next call", Request())
            called.hang_up()

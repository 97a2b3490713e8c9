"""Builds the C++ client as its users do, and programs of users on top of it.

Everything is compiled with sanitizers, and a warning is an error.
"""

import fcntl
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

__all__ = ["SOURCES", "Built", "build", "run"]

SOURCES = ROOT / "clients" / "cpp"
PROGRAMS = Path(__file__).parent / "programs"
FLAGS = "-Wall -Wextra -Werror -g -fsanitize=address,undefined -fno-sanitize-recover=all"
OWN = ("X509_USER_PROXY", "X509_CERT_DIR", "GPFN_TOKEN", "TFCLIENT_TIMEOUT")


class Built(NamedTuple):
    """Where the library is installed, and the folder of its users' programs."""

    installed: Path
    programs: Path

    @property
    def benchmark(self) -> Path:
        """The program that comes with the library."""
        return self.installed / "bin" / "tfaasClient"

    @property
    def old_program(self) -> Path:
        """A program as they were written for TFaaS."""
        return self.programs / "old_program"

    @property
    def ask(self) -> Path:
        """A program that uses the interface with exceptions."""
        return self.programs / "ask"

    @property
    def details(self) -> Path:
        """A program that tells what is told of error documents."""
        return self.programs / "details"


def build(factory: pytest.TempPathFactory) -> Built:
    """Build once, however many processes run the tests."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clients-cpp"
    folder.mkdir(exist_ok=True)
    built = Built(folder / "installed", folder / "programs")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _install(folder / "library", built.installed)
            _cmake(
                "-S", PROGRAMS, "-B", built.programs, f"-DCMAKE_CXX_FLAGS={FLAGS}",
                f"-DCMAKE_PREFIX_PATH={built.installed}", f"-DSOURCES={SOURCES / 'src'}",
            )  # fmt: skip
            _cmake("--build", built.programs)
            (folder / "done").touch()
    return built


def _install(folder: Path, installed: Path) -> None:
    where = f"-DCMAKE_INSTALL_PREFIX={installed}"
    _cmake("-S", SOURCES, "-B", folder, where, f"-DCMAKE_CXX_FLAGS={FLAGS}")
    _cmake("--build", folder, "--target", "install")


def _cmake(*words: str | Path) -> None:
    done = subprocess.run(["cmake", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(
    command: Sequence[str | Path | int], seconds: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with no other variables for the client than those given."""
    environ = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run(
        list(map(str, command)),
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert "Sanitizer" not in done.stderr, done.stderr
    return done

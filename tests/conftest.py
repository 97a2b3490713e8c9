"""What every test may ask for, and the rule that nothing is passed over silently."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["ROOT", "root", "shared"]

ROOT = Path(__file__).resolve().parents[1]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with recordings, pictures and model files.

    ``GPFN_SHARED`` names another one.
    """
    folder = Path(os.environ.get("GPFN_SHARED") or ROOT / ".." / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.fail(
            f"{folder} with the recordings and test data is absent: "
            "put it beside the repository or name it in GPFN_SHARED"
        )
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: a missing peer must not look like a pass."""
    report = yield
    return _no_skips(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    report = yield
    return _no_skips(report)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name binary parameters by their length.

    Their content may differ from process to process (gzip writes the time into it), and
    tests that run in several processes must have the same names in all of them.
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{len(val)} bytes"
    return None


def _no_skips(report: Report) -> Report:
    excused = report.outcome == "skipped" or hasattr(report, "wasxfail")
    if excused and os.environ.get("CI", "").lower() == "true":
        vars(report).pop("wasxfail", None)  # pytest does not count a report that has it as failed
        report.outcome = "failed"
        report.longrepr = f"skipped or expected to fail, which CI does not allow: {report.longrepr}"
    return report

"""The suites are green on what is right: our own runners, and a small server."""

from functools import partial
from pathlib import Path

import pytest

from gpfn.certify.check import certify, line, load_checks
from gpfn.certify.openwhisk.action import ActionServers
from gpfn.certify.subject import Subject
from tests.certify.subjects import GPFN, command, of, server
from tests.platforms.fn.container import FDK
from tests.platforms.openwhisk.served import served

certify_fn = partial(certify, "fn")
certify_openwhisk = partial(certify, "openwhisk", strict=True)
FN, OPENWHISK = load_checks("fn"), load_checks("openwhisk")


@pytest.mark.slow
def test_our_runner_for_openwhisk_is_green() -> None:
    outcomes = list(certify_openwhisk(command(GPFN, "run", "openwhisk"), 30, jobs=4))
    assert of(outcomes, "fail") == {}
    assert set(of(outcomes, "not applicable")) == {"C1", "C2", "C3", "C5", "E5"}
    assert len(outcomes) == len(OPENWHISK) > 50


def test_our_runner_with_code_of_its_own_is_green(root: Path) -> None:
    subject = command(GPFN, "run", "openwhisk", str(root / "functions" / "digits"))
    outcomes = list(certify_openwhisk(subject, 30, ("A3", "A4", "A6", "A11", "B11", "C", "F6"), 4))
    assert of(outcomes, "fail") == {}
    assert set(of(outcomes, "not applicable")) == {"C5"}


@pytest.mark.slow
def test_our_runner_for_fn_is_green(root: Path) -> None:
    function = str(root / "functions" / "forecast" / "func.py")
    outcomes = list(certify_fn(command(GPFN, "run", "fn", function), 30, jobs=4))
    assert of(outcomes, "fail") == of(outcomes, "not applicable") == {}
    assert len(outcomes) == len(FN) >= 18


@pytest.mark.slow
@pytest.mark.parametrize("file", ["functions/forecast/func.py", "tests/platforms/fn/files/echo.py"])
def test_the_stock_runtime_of_fn_is_green(root: Path, file: str) -> None:
    outcomes = list(certify_fn(command(*FDK, str(root / file), "handler"), 30, jobs=4))
    assert of(outcomes, "fail") == of(outcomes, "not applicable") == {}


@pytest.mark.slow
def test_what_a_stock_runtime_of_openwhisk_does_is_green_unless_more_is_asked() -> None:
    outcomes = list(certify("openwhisk", server("as_stock"), 10, jobs=4))
    more = of(outcomes, "stricter")
    assert of(outcomes, "fail") == {}
    assert set(more) == {check.id for check in OPENWHISK if check.stricter}
    assert set(more) == {"E1", "E2", "F2", "F3", "F4", "F6", "F7", "F13"}
    assert "stricter than the platform, whose own runtime ends over" in "".join(map(line, outcomes))
    asked = list(certify_openwhisk(server("as_stock"), 10, ("F3", "F6", "F9")))
    assert set(of(asked, "fail")) == {"F3", "F6"}


@pytest.mark.slow
def test_a_small_server_that_is_right_is_green() -> None:
    outcomes = list(certify_openwhisk(server("action_server"), 10, jobs=4))
    assert of(outcomes, "fail") == {}


def test_a_server_that_runs_already_is_only_talked_to(tmp_path: Path) -> None:
    with served(tmp_path) as action:
        outcomes = list(certify_openwhisk(Subject("url", f"http://127.0.0.1:{action.port}"), 10))
        assert action.popen.poll() is None
    assert of(outcomes, "fail") == {}
    assert {"F1", "F2", "F3", "F12"} <= set(of(outcomes, "pass"))
    why = of(outcomes, "not applicable")
    assert why["A6"] == "needs a fresh process, and this server runs already"
    assert why["F8"] == "a running server is not ours to stop"


def test_what_may_end_a_server_that_runs_already_comes_last() -> None:
    with ActionServers(server("as_stock")).fresh() as action:
        url = f"http://127.0.0.1:{action.address[1]}"
        outcomes = list(certify("openwhisk", Subject("url", url), 10))
    assert set(of(outcomes, "pass")) == {"F1", "F12"}
    assert set(of(outcomes, "stricter")) == {"F2", "F3"}
    assert of(outcomes, "fail") == {}


def test_ids_are_unique_and_every_check_says_where_it_is_from() -> None:
    for checks in (OPENWHISK, FN):
        ids = [check.id for check in checks]
        assert len(ids) == len(set(ids))
        assert all(check.source and check.title for check in checks)

"""The suites are red on what is wrong, each check where it belongs."""

import sys
from functools import partial
from pathlib import Path

import pytest

from gpfn.certify.check import certify, load_checks
from tests.certify.subjects import HERE, command, of, server

certify_fn = partial(certify, "fn")
certify_openwhisk = partial(certify, "openwhisk")
FN, OPENWHISK = load_checks("fn"), load_checks("openwhisk")


@pytest.mark.slow
def test_replies_without_a_length_are_red() -> None:
    outcomes = list(certify_openwhisk(server("broken_framing"), 10, jobs=4))
    assert set(of(outcomes, "fail")) == {"F1"}
    assert "told by chunked" in of(outcomes, "fail")["F1"]


@pytest.mark.slow
def test_missing_sentinels_and_dying_of_a_result_are_red() -> None:
    outcomes = list(certify_openwhisk(server("broken_results"), 10, jobs=4, strict=True))
    failed = of(outcomes, "fail")
    assert set(failed) == {"A3", "A6", "A11", "C4", "D7", "F4", "F6", "F7"}
    assert "0 sentinels on stdout, expected 4" in failed["A6"]
    assert "no answer" in failed["F4"]


@pytest.mark.slow
def test_a_second_init_and_wrong_statuses_are_red() -> None:
    outcomes = list(certify_openwhisk(server("broken_refusals"), 10, jobs=4))
    failed = of(outcomes, "fail")
    assert set(failed) == {
        *("A4", "B3", "B5", "B6", "B7", "B11", "B12", "B16", "B17"),
        *("D3", "D4", "D5", "F5"),
    }
    assert failed["A4"].startswith("got 200 ")
    assert failed["F5"].startswith("got 500 ")


def test_a_broken_container_for_fn_is_red() -> None:
    failed = of(list(certify_fn(server("broken_fn"), 5, jobs=4)), "fail")
    assert set(failed) == {check.id for check in FN} - {"L1", "L3"}
    assert failed["L2"] == "the first connection was refused"
    assert failed["L4"] == "its mode is 600"
    assert "R2" in failed


def test_what_does_not_start_fails_every_check_with_its_last_words() -> None:
    subject = command(sys.executable, "-c", "raise SystemExit('no luck')")
    failed = of(list(certify_openwhisk(subject, 5, ("A1", "F8"))), "fail")
    assert set(failed) == {"A1", "F8"}
    assert "it ended before it listened on PORT: no luck" in failed["A1"]
    failed = of(list(certify_fn(subject, 5, ("L1", "R1"))), "fail")
    assert "it ended before its socket appeared: no luck" in failed["L1"]


def test_nothing_is_left_running() -> None:
    marker = "certify-leaves-nothing-behind"
    script = f"exec {sys.executable} {HERE / 'action_server.py'} {marker}"
    outcomes = list(
        certify_openwhisk(command("/bin/sh", "-c", f"sleep 300 & {script}"), 10, ("A5",))
    )
    assert of(outcomes, "fail") == {}
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(marker.encode() in line for line in running)

"""The log of an activation, line by line."""

import json

from gpfn.local.openwhisk.log_lines import log_lines

NOON = 1_700_000_000.25


def test_a_line_has_its_time_its_stream_and_its_text() -> None:
    log = [(NOON, "stdout", "hello"), (NOON + 0.001, "stderr", "  oh: no ")]
    assert log_lines(log, 10, NOON, failed=False) == [
        "2023-11-14T22:13:20.250000000Z stdout: hello",
        "2023-11-14T22:13:20.251000000Z stderr:   oh: no ",
    ]


def test_after_a_developer_error_something_may_be_missing() -> None:
    lines = log_lines([], 10, NOON, failed=True)
    told = "The action did not initialize or run as expected. Log data might be missing."
    assert lines == [f"2023-11-14T22:13:20.250000000Z stderr: {told}"]


def test_logs_of_0_are_none() -> None:
    assert not log_lines([(NOON, "stdout", "hello")], 0, NOON, failed=True)


def test_more_than_the_limit_is_cut_and_said_so() -> None:
    limit = 1 << 20
    kept = {"log": "x" * 1000 + "\n", "stream": "stdout", "time": "2023-11-14T22:13:20.123456789Z"}
    size = len(json.dumps(kept, separators=(",", ":"))) + 1
    fits = [(NOON, "stdout", "x" * 1000)] * (limit // size)
    last = "x" * (limit % size - (size - 1000))
    assert len(log_lines([*fits, (NOON, "stdout", last)], 1, NOON, failed=False)) == len(fits) + 1
    for more in (last + "x", last[1:] + "é", last[1:] + '"', last[2:] + "\t\t"):
        lines = log_lines([*fits, (NOON, "stdout", more), *fits], 1, NOON, failed=False)
        assert len(lines) == len(fits) + 1
        told = (
            f"Logs were truncated because the total bytes size exceeds the limit of {limit} bytes."
        )
        assert lines[-1].endswith(f" stderr: {told}")

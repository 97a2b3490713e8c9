"""``gpfn demo``, which ``make run`` shows: an event on stdout, a table on stderr."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cli.serving import clean_environ
from tests.conftest import ROOT


def demo(*options: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration."""
    return subprocess.run(
        [sys.executable, "-m", "gpfn.cli.main", "demo", *options],
        cwd=folder,
        env=clean_environ(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_prints_the_event_and_where_the_time_went() -> None:
    shown = demo("--repeat", "3")
    assert shown.returncode == 0, shown.stderr
    event = json.loads(shown.stdout)
    assert event["specversion"] == "1.0"
    assert event["type"].endswith(".response")
    assert np.asarray(event["data"]).shape == (1, 20, 1)
    assert shown.stdout.count("\n") > 20, "pretty"
    lines = shown.stderr.splitlines()
    assert re.search(r"model remote +model in the process", lines[0])
    assert re.search(r"model server ready +[0-9.]+ ms +-", lines[1])
    assert any(re.match(r"first call +[0-9.]+ ms +[0-9.]+ ms", line) for line in lines)


def test_a_server_of_the_user_does_not_get_in_the_way() -> None:
    """The second half computes in the process, whatever GP_SERVER_URL says outside."""
    shown = demo("--repeat", "1", GP_SERVER_URL="http://127.0.0.1:9")
    assert shown.returncode == 0, shown.stderr


def test_elsewhere_it_has_a_function_an_event_and_a_model_of_its_own(tmp_path: Path) -> None:
    shown = demo("--repeat", "1", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert np.asarray(json.loads(shown.stdout)["data"]).shape == (1, 20, 1)
    assert not list(tmp_path.iterdir())
    usual = demo("--repeat", "1")
    assert json.loads(shown.stdout)["data"] == json.loads(usual.stdout)["data"], "the same event"


def test_what_is_named_has_to_be_there(tmp_path: Path) -> None:
    shown = demo("--event", "gone.json", folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (1, "gpfn: gone.json: no such file or folder\n")


def test_a_model_that_cannot_be_served_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3")
    shown = demo("--model", str(broken))
    assert shown.returncode == 1
    assert "the model server did not start" in shown.stderr
    assert str(broken) in shown.stderr


def test_a_function_that_fails_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "event.json"
    wrong.write_text("[1, 2, 3]")
    shown = demo("--event", str(wrong), "--repeat", "1")
    assert shown.returncode == 1
    assert "the function failed" in shown.stderr
    assert shown.stdout == ""

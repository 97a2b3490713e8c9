"""Every variable of ours that is wrong ends a process at its start, in one line that names it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.settings import SETTINGS, check_settings
from tests.conftest import ROOT

GPFN = str(Path(sys.executable).parent / "gpfn")
RECORD = r"20\d\d-\S+Z error cli - "
FORECAST = str(ROOT / "functions" / "forecast" / "func.py")

_NUMBERS = ("9" * 5000, "٣", "1e9", " 1", "-1", "x\ny", "1_000", "0x10")
BAD = {
    "size": ("0", "9" * 5000, "٣", "1e9", "-1", "1T", "x\ny"),
    "count": ("0", *_NUMBERS),
    "places": _NUMBERS,
    "duration": ("9" * 5000, "٣", "1e9", "-1", "nan", "inf", "soon", "x\ny", "1_0"),
    "switch": ("maybe", "2", " on", "x\ny"),
    "log": ("normal", "TEXT", "json ", "x\ny"),
}
COMMANDS = {
    "run fn": ("run", "fn", FORECAST),
    "run openwhisk": ("run", "openwhisk", FORECAST),
    "run http": ("run", "http", FORECAST, "--port", "0"),
    "serve": ("serve", "--model", str(ROOT / "models" / "forecast.tflite"), "-l", "127.0.0.1:0"),
}
CHECKED = [name for name, kind in SETTINGS.items() if kind != "text"]


@pytest.mark.parametrize("name", CHECKED)
def test_each_bad_value_is_one_short_line(name: str) -> None:
    for text in BAD[SETTINGS[name]]:
        with pytest.raises(SetupError) as caught:
            check_settings({name: text})
        assert str(caught.value).startswith(f"{name}: expected ")
        assert len(str(caught.value)) < 160
        assert "\n" not in str(caught.value)


def test_what_is_empty_or_right_passes() -> None:
    check_settings(dict.fromkeys(SETTINGS, ""))
    right = {"size": "64k", "count": "1", "places": "0", "duration": "500ms", "switch": "on"}
    check_settings(
        {name: {**right, "log": "json"}.get(kind, "x") for name, kind in SETTINGS.items()}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_ends_with_1_and_one_line_that_names_it(command: str, tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPFN_", "GP_", "FN_"))}
    kept |= {"FN_LISTENER": f"unix:{tmp_path}/lsnr.sock", "FN_FORMAT": "http-stream", "PORT": "0"}
    for index, name in enumerate(CHECKED, list(COMMANDS).index(command)):
        bad = BAD[SETTINGS[name]]
        run = subprocess.run(
            [GPFN, *COMMANDS[command]],
            env={**kept, name: bad[index % len(bad)]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (run.returncode, run.stdout) == (1, ""), (name, run)
        assert re.match(rf"{RECORD}{name}: expected ", run.stderr), run.stderr
        assert run.stderr.count("\n") == 1, run.stderr


@pytest.mark.parametrize("text", ["http", "70000", "9" * 5000, "٣", "-1"])
def test_a_bad_port_of_the_environment(text: str) -> None:
    run = subprocess.run(
        [GPFN, "run", "openwhisk"],
        env={**os.environ, "PORT": text},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    wrong = "PORT: expected a whole number from 0 to 65535, got "
    assert re.match(RECORD + wrong, run.stderr), run.stderr
    assert run.stderr.count("\n") == 1

"""Functions within the memory that their func.yaml declares, whatever body they let through."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

KIB_A_MIB = 1024
CALLS = r"""
import gc, sys
from gpfn.function import load_function
from gpfn.limits import Limits
from gpfn.message import Message

def now(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))

def body(unit, begin, end, most):
    room = limits.body_bytes - len(begin) - len(end)
    return begin + b",".join([unit] * min(most, room // (len(unit) + 1))) + end

function, limits = load_function(sys.argv[1]), Limits.from_env()
event = b'{"specversion":"1.0","id":"1","source":"/a","type":"t","data":['
windows, over = limits.elements // 20 * 20, limits.elements + 20
bodies = {  # a unit of JSON, what goes around it, how many at most, and the event's or no type
    "small": (b"1.5", b"[", b"]", 20),
    "case": (b"1", b"[", b"]", 80_000),
    "numbers": (b"0.25", b"[", b"]", windows),
    "nested": (b"[[0.25]]", b"[", b"]", windows),
    "event": (b"[0.25]", event, b"]}", windows),
    "over": (b"1", b"[", b"]", over),
    "lists": (b"[]", b"[", b"]", 10**9),
    "objects": (b'{"a":1}', b"[", b"]", 10**9),
}
warm = 0
for name in ("small", "small", *bodies):
    made = body(*bodies[name])
    kind = "application/cloudevents+json" if name == "event" else "application/json"
    status = function.answer(Message(made, kind)).status
    del made
    gc.collect()
    warm = warm or now("RssAnon")
    print(name, status, now("VmHWM"), now("RssAnon") - warm)
made = b" " * (limits.body_bytes + 1)
print("large", function.answer(Message(made, "application/json")).status, now("VmHWM"), 0)
"""


def measured(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return by body: the status, the peak until then and what is kept over warm, in KiB."""
    config = yaml.safe_load((folder / "func.yaml").read_text()).get("config", {})
    ended = subprocess.run(
        [sys.executable, "-c", CALLS, folder / "func.py"],
        env={**os.environ, **config},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = [line.split() for line in ended.stdout.splitlines()]
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}


@pytest.mark.parametrize("name", ["forecast", "digits"])
def test_no_body_takes_more_than_func_yaml_declares(name: str) -> None:
    folder = ROOT / "functions" / name
    memory = yaml.safe_load((folder / "func.yaml").read_text())["memory"]
    found = measured(folder)
    assert found["large"][0] == 413
    for body, (status, peak, _) in found.items():
        assert status < 500, body
        assert peak < memory * KIB_A_MIB * 0.9, f"{body}: the peak is {peak} KiB"


def test_the_forecast_of_many_windows_keeps_little() -> None:
    found = measured(ROOT / "functions" / "forecast")
    answered = {"small", "case", "numbers", "nested", "event"}
    assert {body for body, row in found.items() if row[0] == 200} == answered
    assert found["over"][0] == 413
    for body, (_, _, kept) in found.items():
        assert kept <= 8 * KIB_A_MIB, f"{body}: {kept} KiB are kept"


def test_both_descriptions_of_the_forecast_agree() -> None:
    whole, own = (
        yaml.safe_load((path / "func.yaml").read_text())
        for path in (ROOT, ROOT / "functions" / "forecast")
    )
    assert whole["config"] == own["config"]
    assert whole["memory"] == own["memory"]

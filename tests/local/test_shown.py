"""How calls are shown, and what to type next."""

import json
import shlex
from pathlib import Path

from gpfn.local.call_record import CallBody
from gpfn.local.calling import CallStages
from gpfn.local.calls import CallRecord
from gpfn.local.folders import survey_folder
from gpfn.local.shown import (
    CALL_COLUMNS,
    call_cells,
    call_document,
    call_trouble,
    fitting_columns,
    next_lines,
)
from tests.conftest import ROOT
from tests.local.test_folders import make

RECORD = CallRecord(
    id="01",
    platform="fn",
    key="k",
    name="add",
    caller="curl",
    via="trigger /t/demo/add",
    began=1_700_000_000.25,
    status=200,
    cold=True,
    stages=CallStages(0.0, 0.3125, 0.0, 0.0015),
    memory=1 << 20,
)
URLS = ("http://127.0.0.1:8080", "http://127.0.0.1:3233")


def test_a_call_in_columns() -> None:
    cells = call_cells(RECORD)
    assert cells[1:] == (
        "add", "curl", "trigger /t/demo/add", "cold", "-", "312.5", "-", "1.5", "314.0", "200",
    )  # fmt: skip
    assert len(cells) == len(CALL_COLUMNS)
    assert cells[0].count(":") == 2


def test_a_narrow_terminal_goes_without_some_columns() -> None:
    assert fitting_columns(200) == list(CALL_COLUMNS)
    assert fitting_columns(80) == ["time", "function", "caller", "", "start", "run", "ms", "status"]
    assert fitting_columns(40) == ["function", "", "ms", "status"]
    assert fitting_columns(10) == ["function", "", "ms", "status"]


def test_a_call_for_machines() -> None:
    document = json.loads(json.dumps(call_document(RECORD)))
    assert document["ms"] == {"wait": 0, "start": 312.5, "init": 0, "run": 1.5}
    assert (document["event"], document["cold"], document["status"]) == ("call", True, 200)


def test_a_call_that_came_to_no_process_is_neither_cold_nor_warm() -> None:
    refused = RECORD._replace(cold=False, stages=CallStages(), status=502)
    assert call_cells(refused)[4:10] == ("-",) * 6


def test_below_a_call_that_raised_stands_its_trace() -> None:
    log = ((0.0, "stderr", "Traceback"), (0.0, "stderr", "ValueError: here"))
    raised = RECORD._replace(status=502, log=log)
    assert call_trouble(raised)[1:] == ["Traceback", "ValueError: here"]
    assert call_document(raised)["trouble"] == call_trouble(raised)
    assert call_trouble(raised._replace(status=404)) == []


def test_below_a_failed_call_stands_why() -> None:
    assert call_trouble(RECORD) == []
    log = tuple((0.0, "stderr", f"line {n}") for n in range(30))
    failed = RECORD._replace(failure="start failed", detail="exit code 1", log=log)
    told = call_trouble(failed)
    assert told[0] == "start failed: exit code 1"
    assert told[1:] == [f"line {n}" for n in range(18, 30)]


def test_below_a_function_s_own_failure_stands_what_it_said() -> None:
    log = ((0.0, "stderr", "error: no model"),)
    answered = RECORD._replace(status=502, detail="the function answered 502: no model", log=log)
    assert call_trouble(answered) == ["the function answered 502: no model", "error: no model"]
    reply = CallBody("application/json", b'{"error": "no image"}', 21)
    refused = RECORD._replace(status=502, platform="openwhisk", reply=reply)
    assert call_trouble(refused) == ["no image"]
    assert call_trouble(RECORD._replace(status=404, log=log)) == []


def test_below_a_call_stands_what_a_hosted_fn_would_not_take() -> None:
    small, large = CallBody("image/png", b"x", 6 << 20), CallBody("image/png", b"x", (6 << 20) + 1)
    assert call_trouble(RECORD._replace(request=small, reply=small)) == []
    (told,) = call_trouble(RECORD._replace(request=large, reply=small))
    assert told == "its event has 6.3 MB; a hosted Fn takes at most 6 MiB"
    both = RECORD._replace(request=large._replace(length=7_340_032), reply=large)
    assert call_trouble(both)[0].startswith("its event has 7.3 MB and its answer has 6.3 MB; ")
    failed = both._replace(status=502, detail="it broke")
    assert call_trouble(failed)[0] == "it broke"
    assert "a hosted Fn" in call_trouble(failed)[1]
    assert call_trouble(both._replace(platform="openwhisk")) == []


def test_three_lines_to_type_next() -> None:
    lines = next_lines(survey_folder(ROOT / "functions").functions, "demo", *URLS, "KEY")
    sample = shlex.quote(str((ROOT / "functions/add/sample.json").relative_to(Path.cwd())))
    assert lines[0].with_program == (f"cat {sample} | FN_API_URL={URLS[0]} fn invoke demo add")
    assert lines[0].with_gpfn == f"cat {sample} | gpfn invoke --at {URLS[0]} demo/add"
    assert "--auth KEY action invoke add --result" in lines[1].with_program
    openwhisk = f"gpfn invoke --at {URLS[1]} --auth KEY --platform openwhisk add"
    assert lines[1].with_gpfn == f"cat {sample} | {openwhisk}"
    assert lines[2].with_gpfn == f"cat {sample} | gpfn invoke --at {URLS[0]}/t/demo/add"
    assert lines[2].with_program.startswith(f"curl {URLS[0]}/t/demo/add -H 'Content-Type: appl")
    assert lines[2].with_program.endswith(f"@{sample}")


def test_what_to_type_without_a_sample_or_a_trigger(tmp_path: Path) -> None:
    assert next_lines((), "demo", *URLS, "KEY") == []
    make(tmp_path / "f", "name: f\n")
    lines = next_lines(survey_folder(tmp_path).functions, "demo", *URLS, "KEY")
    assert lines[0].with_program.startswith("echo '{}' | ")
    assert len(lines) == 2


def test_a_triggers_source_stands_in_an_address(tmp_path: Path) -> None:
    make(tmp_path / "f", "name: f\ntriggers:\n- {name: f, type: http, source: '/a b?c'}\n")
    line = next_lines(survey_folder(tmp_path).functions, "demo", *URLS, "KEY")[2]
    assert line.with_program.startswith(f"curl {URLS[0]}/t/demo/a%20b%3Fc -H ")

"""The doctor's rules: each finds its fault, and none in our own functions."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpfn.build.doctor import RULES, Finding, examine
from gpfn.build.facts import Facts, ImageFacts, Measured, gather
from gpfn.cli.main import main
from gpfn.hosts.target import find_target
from tests.conftest import ROOT

GOOD = Measured(start=0.1, memory=50 << 20, threads=2)
IMAGE = ImageFacts("f:1", 100_000_000, "1000:1000", (), {"gpfn.platform": "fn"})
CODE = """\
from gpfn import Function
f = Function(lambda message: message.body, takes="message")
handler = f.fn
"""


def function(
    folder: Path, *, code: str = CODE, yaml: str = "", dockerfile: str = "", wants: str = ""
) -> Facts:
    """Return the facts of a function of these files, measured as good."""
    (folder / "func.py").write_text(code)
    (folder / "func.yaml").write_text(f"name: f\nversion: 0.0.1\n{yaml}")
    if dockerfile:
        (folder / "Dockerfile").write_text(dockerfile)
    if wants:
        (folder / "requirements.txt").write_text(wants)
    return gather(find_target(str(folder)), measured=GOOD, image=IMAGE)


def only(findings: list[Finding]) -> Finding:
    """Return the one finding."""
    assert len(findings) == 1, findings
    return findings[0]


def test_a_good_function_has_nothing(tmp_path: Path) -> None:
    assert examine(function(tmp_path)) == []


FILES = [
    (
        "memory",
        "fails",
        "openwhisk",
        {"yaml": "memory: 1024\n"},
        "over OpenWhisk's usual limit of 512",
    ),
    ("memory", "fails", "all", {"yaml": "memory: 40\n"}, "40 in func.yaml, and it uses 50 MiB"),
    ("memory", "warns", "all", {"yaml": "memory: 55\n"}, "leaves little room over 50 MiB"),
    ("volumes", "fails", "fn", {"dockerfile": "FROM a:1\nVOLUME /data\n"}, "VOLUME"),
    ("user", "warns", "all", {"dockerfile": "FROM a:1\nUSER 1000\nUSER root\n"}, "USER root"),
    ("tags", "warns", "all", {"dockerfile": "FROM python\n"}, "FROM python is another"),
    ("tags", "warns", "all", {"dockerfile": "FROM a:5000/b:latest\n"}, "another image every day"),
    ("tags", "warns", "fn", {"yaml": "run_image: fnproject/python\n"}, "run_image"),
    ("dockerfile", "fails", "fn", {"yaml": "runtime: docker\n"}, "there is no Dockerfile"),
    ("dockerfile", "fails", "fn", {"yaml": "runtime: python\n"}, "needs fdk"),
    ("requirements", "fails", "fn", {"wants": "fdk\nuvloop>=0.2\n"}, "stock fdk dies"),
    ("requirements", "warns", "all", {"wants": "tensorflow-cpu\n"}, "1.3 GB"),
    (
        "payload",
        "warns",
        "openwhisk",
        {"yaml": "config:\n  GPFN_MAX_BODY_BYTES: 9000000\n"},
        "1 MiB",
    ),
    (
        "writes",
        "fails",
        "fn",
        {"code": CODE + 'def log():\n    open("/var/log/x", "a").write("x")\n'},
        "func.py:5: writes /var/log/x",
    ),
]


@pytest.mark.parametrize(("rule", "level", "platform", "files", "text"), FILES)
def test_what_files_tell(
    tmp_path: Path, rule: str, level: str, platform: str, files: dict[str, str], text: str
) -> None:
    found = only(examine(function(tmp_path, **files)))
    assert (found.rule, found.level, found.platform) == (rule, level, platform)
    assert text in found.text


def test_timeouts_of_both_platforms(tmp_path: Path) -> None:
    found = examine(function(tmp_path, yaml="timeout: 301\n"))
    assert [(one.rule, one.platform) for one in found] == [
        ("timeout", "fn"),
        ("timeout", "openwhisk"),
    ]


def test_a_timeout_that_may_leave_no_time(tmp_path: Path) -> None:
    found = only(examine(function(tmp_path, yaml="timeout: 1\n")))
    assert (found.rule, found.level, found.platform) == ("timeout", "warns", "fn")
    assert "timeout: 1 may leave a call no time" in found.text
    assert examine(function(tmp_path, yaml="timeout: 2\n")) == []


MEASURED = [
    ("start", "fails", Measured(6.0, 1, 1), "listens after 6.0 s; Fn waits 5 s"),
    ("start", "warns", Measured(3.0, 1, 1), "listens after 3.0 s"),
    ("start", "fails", Measured(problem="no model found"), "does not start: no model found"),
    ("threads", "fails", Measured(0.1, 1, 64), "64 threads; Fn allows 50"),
    ("threads", "warns", Measured(0.1, 1, 30), "30 threads of 50"),
]


@pytest.mark.parametrize(("rule", "level", "measured", "text"), MEASURED)
def test_what_measuring_tells(
    tmp_path: Path, rule: str, level: str, measured: Measured, text: str
) -> None:
    found = only(examine(replace(function(tmp_path), measured=measured)))
    assert (found.rule, found.level) == (rule, level)
    assert text in found.text


IMAGES = [
    ("tags", replace(IMAGE, name="f:latest"), "latest is pulled at every cold start"),
    ("volumes", replace(IMAGE, volumes=("/data",)), "VOLUME /data"),
    ("user", replace(IMAGE, user=""), "runs as root"),
    ("image", replace(IMAGE, labels={}), "has no gpfn"),
    ("image", replace(IMAGE, size=900_000_000), "900 MB have to be pulled"),
]


@pytest.mark.parametrize(("rule", "image", "text"), IMAGES)
def test_what_an_image_tells(tmp_path: Path, rule: str, image: ImageFacts, text: str) -> None:
    found = only(examine(replace(function(tmp_path), image=image)))
    assert found.rule == rule
    assert text in found.text


def test_a_missing_model_and_a_folder_too_large_for_a_zip(tmp_path: Path) -> None:
    facts = replace(function(tmp_path), models={"m.tflite": 0}, zip_bytes=40_000_000)
    found = examine(facts)
    assert [one.rule for one in found] == ["models", "zip"]
    assert "a zip may have 36 MB" in found[1].text


def test_every_rule_is_seen_to_find_something() -> None:
    seen = {row[0] for row in FILES} | {row[0] for row in MEASURED} | {row[0] for row in IMAGES}
    assert set(RULES) == seen | {"timeout", "models", "zip"}


@pytest.mark.parametrize("name", ["forecast", "digits"])
def test_our_own_functions_are_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", f"{ROOT}/functions/{name}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one for one in shown["findings"] if one["level"] == "fails"] == []
    measured = shown["measured"]
    assert 0 < measured["memory"] < 128 << 20
    assert 1 <= measured["threads"] <= 20
    assert 0 < measured["start"] < 5


def test_a_function_that_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    function(tmp_path, code="import nowhere_to_be_found\n")
    assert main(["doctor", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "it does not start" in out
    assert "nowhere_to_be_found" in out


def test_a_missing_image_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", f"{ROOT}/functions/digits", "--image", "nowhere:1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "docker is not installed" in line

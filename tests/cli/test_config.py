"""``gpfn config``: values, sources, defaults; secrets stay secret, and what is wrong is told."""

import json
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.limits import Limits
from gpfn.settings import SETTINGS, parse_size, parse_whole


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from os import environ

    for name in [name for name in environ if name.startswith("GPFN_")]:
        monkeypatch.delenv(name)


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, str]]:
    main(["config", "--json", *words])
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_setting_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys)
    assert list(found) == list(SETTINGS)
    assert {row["source"] for row in found.values()} == {"default"}
    assert found["GPFN_QUEUE"]["default"] == "512"
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "SOURCE", "DEFAULT"]
    assert len(lines) == len(SETTINGS) + 1
    assert rows(capsys, "--set") == {}


@pytest.mark.parametrize("field", Limits._fields)
def test_a_default_of_the_limits_is_what_is_told(
    field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"GPFN_MAX_{field.upper()}"
    told = rows(capsys)[name]["default"].partition(";")[0].replace(",", "")
    if field == "elements":
        told = str(parse_size(told.replace(" Mi", "MiB"), field=name))
    value = getattr(Limits(), field)
    assert (parse_size if field.endswith("_bytes") else parse_whole)(told, field=name) == value


def test_what_doctor_calls_a_key_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text("")
    (tmp_path / "func.yaml").write_text(
        "name: f\nconfig:\n  APIKEY: 9c2fexample\n  MY_PASS: hunter22\n"
        "  OTHER: sk-0123456789abcdefghij\n  DB: postgres://me:hunter22@db/x\n  SIZE: '12'\n"
    )
    found = {name: row["value"] for name, row in rows(capsys, str(tmp_path), "--set").items()}
    assert found == {
        "APIKEY": "set",
        "MY_PASS": "set",
        "OTHER": "set",
        "DB": "postgres://db/x",
        "SIZE": "12",
    }


def test_the_environment_comes_before_func_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text("")
    (tmp_path / "func.yaml").write_text(
        "name: f\nconfig:\n  GPFN_QUEUE: '7'\n  GPFN_LOG: json\n  API_KEY: abc\n"
        "  GP_SERVER_URL: http://me:pass@host:9000\n"
    )
    monkeypatch.setenv("GPFN_LOG", "quiet")
    found = rows(capsys, str(tmp_path), "--set")
    assert {name: (row["value"], row["source"]) for name, row in found.items()} == {
        "GPFN_LOG": ("quiet", "environment"),
        "GPFN_QUEUE": ("7", "func.yaml"),
        "API_KEY": ("set", "func.yaml"),
        "GP_SERVER_URL": ("http://host:9000", "func.yaml"),
    }


def test_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPFN_TOKEN", "gpfn_hidden")
    monkeypatch.setenv("GPFN_MODEL_MIRROR", "https://me:hidden@mirror/models")
    for words in (["config"], ["config", "--json"], ["config", "--set"]):
        assert main(words) == 0
        shown = "".join(capsys.readouterr())
        assert "hidden" not in shown
        assert "set" in shown


def test_what_is_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPFN_MAX_BODY_BYTE", "1")
    monkeypatch.setenv("GPFN_QUEUE", "many")
    assert main(["config", "--set"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "gpfn: GPFN_QUEUE: expected a whole number, got 'many'",
        "gpfn: GPFN_MAX_BODY_BYTE: nothing reads it; did you mean GPFN_MAX_BODY_BYTES?",
    ]
    assert len(out.splitlines()) == 3
    assert main(["config", "/absent"]) == 1
    assert "/absent: no such function" in capsys.readouterr().err

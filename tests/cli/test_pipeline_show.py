"""``gpfn pipeline show`` and ``check``: what they print, and their exit codes."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gpfn.cli.main import main

TOY = "pipelines/toy.pipeline.toml"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)


@pytest.fixture
def wrong(tmp_path: Path, root: Path) -> str:
    """A pipeline of which one stage cannot be opened and one gets what it does not take."""
    (tmp_path / "words.py").write_text(
        "from gpfn import Function, TensorSpec\n"
        "spec = TensorSpec('string', (None,))\n"
        "handler = Function(lambda x: x, inputs={'x': spec}, outputs={'y': spec})\n"
    )
    path = tmp_path / "wrong.pipeline.toml"
    path.write_text(
        f"[stages.words]\ntarget = './words.py'\n"
        f"[stages.add]\ntarget = '{root}/functions/add/func.py'\n"
        "[stages.gone]\ntarget = 'http://127.0.0.1:9'\n"
    )
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["pipeline", *words]) == code
    return capsys.readouterr().out


def test_text_mermaid_and_svg(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = printed(capsys, "show", TOY)
    assert text.startswith("Two small steps: double, then add one\n\n●  inputs\n")
    assert "●  multiply  functions/multiply/func.py\n│    listens at 127.0.0.1:3000\n" in text
    mermaid = printed(capsys, "show", TOY, "--as", "mermaid")
    assert "flowchart LR" in mermaid
    assert mermaid.count("-->") == 3
    target = tmp_path / "toy.svg"
    assert printed(capsys, "show", TOY, "--as", "svg", "--output", str(target)) == ""
    assert ElementTree.parse(target).getroot().tag.endswith("svg")
    assert printed(capsys, "show", TOY, "--as", "svg") == target.read_text()


def test_show_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.pipeline.toml"
    path.write_text(
        "[stages.a]\ntarget = 'http://me:secret@127.0.0.1:9/m'\nretries = 2\n"
        "settings.KEY = 'secret'\n[stages.b]\ntarget = 'x'\ninputs = { v = 'a.y' }\n"
        "[outputs]\nz = 'b'\n"
    )
    text = printed(capsys, "show", str(path), "--json")
    assert "secret" not in text
    document = json.loads(text)
    assert document["name"] == "x"
    assert document["outputs"] == {"z": "b"}
    first, second = document["stages"]
    assert (first["name"], first["target"], first["retries"]) == ("a", "http://127.0.0.1:9/m", 2)
    assert second["inputs"] == {"v": "a.y"}


def test_nothing_is_opened_to_be_shown(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "●  gone  http://127.0.0.1:9" in printed(capsys, "show", wrong)


def test_a_drawing_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["pipeline", "show", TOY, "--output", str(tmp_path / "no" / "x.svg")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: --output: cannot write ")


def test_check_of_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "check", TOY).splitlines()
    assert lines[0].split() == ["STAGE", "TARGET", "VERDICT", "DETAIL"]
    assert ["multiply.y", "add.x", "ok", "float32", "(any,", "any)"] in [x.split() for x in lines]
    assert lines[-1] == "toy: 2 stages, 3 links: nothing is wrong"


def test_check_of_what_is_wrong(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "check", wrong, code=1)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert any(row.startswith("gone http://127.0.0.1:9 wrong ") for row in rows)
    assert "words.y add.x wrong gives string, takes float32" in rows
    assert "add gone not told" in rows
    assert rows[-1] == "wrong: 3 stages, 4 links: 2 wrong, 2 not told"


def test_check_as_json(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, "check", wrong, "--json", code=1))
    assert (document["pipeline"], document["wrong"]) == ("wrong", 2)
    assert [each["verdict"] for each in document["stages"]] == ["ok", "ok", "wrong"]
    assert document["stages"][1]["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": [None, None]}
    ]
    assert {"from": "words.y", "to": "add.x", "verdict": "wrong",
            "detail": "gives string, takes float32"} in document["links"]  # fmt: skip
    assert json.loads(printed(capsys, "check", TOY, "--json"))["wrong"] == 0


@pytest.mark.parametrize("action", ["show", "check"])
def test_a_file_that_cannot_be_read_is_one_line_with_the_key(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pipeline.toml"
    path.write_text("[stages.a]\ntarget = 'x'\nplace = 'moon'\n")
    assert main(["pipeline", action, str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: stages.a.place: expected one of client, server, hybrid")
    assert main(["pipeline", action, str(tmp_path / "none.pipeline.toml")]) == 1
    assert "cannot be read" in capsys.readouterr().err

"""The commands for a repository, at ``gpfn serve --repository``."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gpfn.cli.main import main
from gpfn.repository.client import RepositoryClient
from gpfn.tfaas.client import TfaasClient
from tests.cli.serving import LISTENING, Served, serve

ROW = [float(number % 17) for number in range(64)]


class Commands(NamedTuple):
    """What runs a command, and the server that it is for."""

    run: Callable[..., str]
    served: Served


@pytest.fixture
def commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    """A repository's server with tokens, and commands that are let in."""
    (tmp_path / "serving").mkdir()
    tokens = tmp_path / "tokens.txt"
    assert main(["tokens", "new", "anna", "--scope", "write", "--file", str(tokens)]) == 0
    monkeypatch.setenv("GPFN_TOKEN", capsys.readouterr().out.strip())
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        assert main(words) == code, capsys.readouterr()
        out, err = capsys.readouterr()
        return err if code else out

    options = ["--repository", str(tmp_path / "kept"), "--tokens", str(tokens)]
    with serve(tmp_path / "serving", *options, told=LISTENING) as served:
        yield Commands(run, served)


def test_a_model_is_pushed_asked_rolled_back_and_pulled(commands: Commands, root: Path) -> None:
    run, url = commands.run, commands.served.url
    model, labels = str(root / "models" / "digits.tflite"), str(root / "models/digits_labels.txt")
    push = ["models", "push", model, "--to", url]
    assert run(*push, "--tag", "stable").startswith("digits@1 is new\n")
    assert run(*push).startswith("digits@1 is the latest already\n")
    assert run(*push, "--labels", labels).startswith("digits@2 is new\n")
    Path("row.json").write_text(json.dumps([ROW]).replace(".0", ""))
    Path("row.csv").write_text(",".join(f"{number:g}" for number in ROW))
    answers = {
        run("predict", f"{url}/digits{version}", "--input", "row.csv")
        for version in ("", "@stable", "@2", "@latest")
    }
    assert len(answers) == 1
    shown = json.loads(run("models", "show", "digits", "--url", url, "--json"))
    assert [each["version"] for each in shown["versions"]] == [1, 2]
    assert [each["who"] for each in shown["versions"]] == ["anna", "anna"]
    assert shown["tags"] == {"stable": 1}
    assert run("models", "tag", "digits@latest", "stable", "--url", url) == "stable is 2\n"
    back = run("models", "rollback", "digits", "--tag", "stable", "--url", url)
    assert back == "stable is 1 again\n"
    told = run("models", "rollback", "digits", "--url", url)
    assert told == "latest is 1 again; 2 is in the trash\n"
    told = run("models", "rollback", "digits", "--url", url, code=1)
    assert "no version to go back to" in told
    pulled = Path(run("models", "pull", f"{url}/digits@stable").strip())
    assert pulled.read_bytes() == Path(model).read_bytes()
    assert run("models", "restore", "digits@2", "--url", url) == "digits@2 is back\n"
    assert run("models", "delete", "digits", "--url", url) == "in the trash: digits@1, digits@2\n"


def test_an_old_command_line_changes_its_first_word(commands: Commands, root: Path) -> None:
    run, url = commands.run, f"--url={commands.served.url}"
    upload = {
        "name": "digits",
        "model": str(root / "models" / "digits.tflite"),
        "labels": str(root / "models" / "digits_labels.txt"),
        "params": "params.json",
    }
    Path("params.json").write_text('{"name": "digits", "description": "hand-written digits"}')
    Path("upload.json").write_text(json.dumps(upload))
    Path("input.json").write_text(json.dumps({"keys": [], "values": ROW}))
    assert json.loads(run("tfaas", url, "--upload=upload.json"))["version"] == 1
    (listed,) = json.loads(run("tfaas", url, "--models"))
    assert (listed["name"], listed["description"]) == ("digits", "hand-written digits")
    values = json.loads(run("tfaas", url, "--predict=input.json", "--model=digits"))
    client = TfaasClient(commands.served.url, token=os.environ["GPFN_TOKEN"])
    assert client.values(ROW, model="digits") == values
    classes = client.classes(ROW, model="digits")
    assert [each.label for each in classes] == [str(number) for number in range(10)]
    assert [each.probability for each in classes] == pytest.approx(values)
    assert client.values([ROW, ROW], model="digits") == [values, values]
    assert re.match(r'\{"error":', run_refused(commands, "--predict=input.json", "--model=none"))
    assert run("tfaas", url, "--delete=digits") == ""
    assert json.loads(run("tfaas", url, "--models")) == []


def run_refused(commands: Commands, *words: str) -> str:
    """Return what is printed of an answer that is no success: on stdout, as the old client."""
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as printed:
        assert main(["tfaas", f"--url={commands.served.url}", *words]) == 1
    return printed.getvalue()


def test_a_folder_is_sent_once(commands: Commands, root: Path) -> None:
    folder = root / "models" / "forecast_savedmodel"
    words = ["models", "push", str(folder), "--to", commands.served.url, "--json"]
    first, again = (json.loads(commands.run(*words)) for _ in range(2))
    assert (first["existed"], again["existed"]) == (False, True)
    assert first["digest"] == again["digest"]
    client = RepositoryClient(commands.served.url, token=os.environ["GPFN_TOKEN"])
    (version,) = client.model("forecast_savedmodel").versions
    assert version.manifest.model == "."


def test_who_is_not_let_in_is_told_how(
    commands: Commands, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPFN_TOKEN")
    push = ["models", "push", str(root / "models" / "digits.tflite"), "--to", commands.served.url]
    assert "GPFN_TOKEN" in commands.run(*push, code=1)

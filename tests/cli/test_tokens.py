"""gpfn tokens: what it prints is let in, what it writes is only the hash."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.serving.tokens import NotAuthorised, read_tokens

GPFN = str(Path(sys.executable).parent / "gpfn")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tokens.txt"


def test_new(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", "new", "laptop"]) == 0
    token = capsys.readouterr().out.rstrip("\n")
    assert token.startswith("gpfn_")
    assert len(token) == 48
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_tokens(file).allows("predict", f"Bearer {token}") == "laptop"
    assert main(["tokens", "new", "ci", "--scope", "write", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {**shown, "token": ""} == {
        "name": "ci",
        "scope": "write",
        "token": "",
        "file": "tokens.txt",
    }
    tokens = read_tokens(file)
    assert tokens.allows("write", f"Bearer {shown['token']}") == "ci"
    assert tokens.allows("predict", f"Bearer {token}") == "laptop"
    assert [path.name for path in file.parent.iterdir()] == ["tokens.txt"]


def test_list_and_drop(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = {}
    file.write_text("# ours\n")
    for name in ("a", "ab"):
        assert main(["tokens", "new", name]) == 0
        tokens[name] = capsys.readouterr().out.strip()
    assert main(["tokens", "list"]) == 0
    assert capsys.readouterr().out.split() == ["NAME", "SCOPE", "a", "predict", "ab", "predict"]
    assert main(["tokens", "drop", "a"]) == 0
    assert main(["tokens", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "ab", "scope": "predict"}]
    assert file.read_text().startswith("# ours\nab predict ")
    file.chmod(0o600)
    left = read_tokens(file)
    assert left.allows("predict", f"Bearer {tokens['ab']}") == "ab"
    with pytest.raises(NotAuthorised):
        left.allows("predict", f"Bearer {tokens['a']}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["new", "a b"], "gpfn: name: expected up to 64 letters, digits, '.', '_', '@' and '-'"),
        (["new", "taken"], "gpfn: name: tokens.txt has a token of that name; drop it first"),
        (["drop", "none"], "gpfn: name: tokens.txt has no token of that name"),
        (["list", "--file", "absent"], "gpfn: absent: cannot be read: No such file or directory"),
        (["drop", "a", "--file", "absent"], "gpfn: file: No such file or directory: "),
        (["new", "a", "--file", "no/folder"], "gpfn: file: No such file or directory: "),
        (["new", "a", "--file", "wrong"], "gpfn: wrong: line 1: expected NAME SCOPE SHA256"),
    ],
)
def test_refusals(
    file: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["tokens", "new", "taken"]) == 0
    (file.parent / "wrong").write_text("what\n")
    capsys.readouterr()
    before = file.read_bytes()
    assert main(["tokens", *words]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told)
    assert file.read_bytes() == before
    assert (file.parent / "wrong").read_text() == "what\n"


def test_a_line_without_an_end_is_left_whole(file: Path) -> None:
    assert main(["tokens", "new", "a"]) == 0
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert main(["tokens", "new", "b"]) == 0
    assert len(read_tokens(file)) == 2


def test_many_at_once_lose_none(file: Path) -> None:
    def make(number: int) -> int:
        return subprocess.run(
            [GPFN, "tokens", "new", f"n{number}"], cwd=file.parent, capture_output=True, check=False
        ).returncode

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(make, range(12))) == {0}
    assert len(read_tokens(file)) == 12

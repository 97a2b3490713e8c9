"""Where gpfn dev keeps its state, and the names that it may be called by."""

import os
import socket
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.local.settings import DevSettings


def test_the_folder_of_the_state_is_ignored_by_git(tmp_path: Path) -> None:
    settings = DevSettings(tmp_path)
    assert settings.state_file() == tmp_path / ".gpfn" / "dev.sqlite3"
    ignore = tmp_path / ".gpfn" / ".gitignore"
    assert ignore.read_text().splitlines()[-1] == "*"
    ignore.write_text("mine\n")
    settings.state_file()
    assert ignore.read_text() == "mine\n"


def test_nothing_is_made_in_memory(tmp_path: Path) -> None:
    assert DevSettings(tmp_path, memory=True).state_file() is None
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / ".gpfn").write_text("a file")
    with pytest.raises(SetupError, match=r"cannot be written: .*--memory"):
        DevSettings(tmp_path).state_file()


def test_names_of_another_address_are_this_machine_s() -> None:
    assert DevSettings(names=("dev.example",)).own_names() == ("dev.example",)
    names = DevSettings(host="0.0.0.0", names=("dev.example",)).own_names()
    assert {socket.gethostname(), "dev.example"} <= {*names}

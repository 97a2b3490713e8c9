"""Which function a user's words mean."""

from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.target import find_target

YAML = """\
entrypoint: /python/bin/fdk /function/code/other.py serve
content_type: application/json
memory: 256
timeout: 7
config:
  GREETING: hello
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    for name in ("func.py", "code/other.py"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_without_func_yaml(folder: Path) -> None:
    target = find_target(str(folder))
    assert target.file == folder / "func.py"
    assert (target.handler, target.timeout, target.memory) == ("handler", 30, 128)
    assert target.folder == folder


@pytest.mark.parametrize("what", ["", "func.yaml"])
def test_func_yaml_says_the_file_and_the_rest(folder: Path, what: str) -> None:
    (folder / "func.yaml").write_text(YAML)
    target = find_target(str(folder / what))
    assert target.file == folder / "code" / "other.py"
    assert (target.handler, target.content_type) == ("serve", "application/json")
    assert (target.timeout, target.memory) == (7, 256)
    assert target.config == {"GREETING": "hello"}


def test_a_file_takes_the_config_of_its_func_yaml(folder: Path) -> None:
    (folder / "func.yaml").write_text(YAML)
    target = find_target(str(folder / "func.py"))
    assert target.file == folder / "func.py"
    assert (target.handler, target.timeout) == ("handler", 7)


def test_the_environment_comes_before_the_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "func.yaml").write_text(YAML)
    monkeypatch.delenv("GREETING", raising=False)
    assert find_target(str(folder)).environ()["GREETING"] == "hello"
    monkeypatch.setenv("GREETING", "good day")
    assert find_target(str(folder)).environ()["GREETING"] == "good day"


def test_the_environment_has_the_name_for_logs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPFN_NAME", raising=False)
    assert "GPFN_NAME" not in find_target(str(folder)).environ()
    (folder / "func.yaml").write_text("name: app/forecast\n")
    assert find_target(str(folder)).environ()["GPFN_NAME"] == "app/forecast"


def test_the_functions_of_the_repository(root: Path) -> None:
    assert find_target(str(root)).file == root / "functions" / "forecast" / "func.py"
    assert find_target(str(root / "functions" / "forecast")).handler == "handler"


def test_nothing_there(tmp_path: Path) -> None:
    for name in ("absent", "absent.py", "", "func.yaml"):
        with pytest.raises(SetupError, match="no such function"):
            find_target(str(tmp_path / name))


def test_a_model_is_no_function(root: Path) -> None:
    with pytest.raises(SetupError, match="gpfn init NAME --from FILE makes one"):
        find_target(str(root / "models" / "forecast.onnx"))


def test_a_number_that_is_none(folder: Path) -> None:
    (folder / "func.yaml").write_text("memory: lots\n")
    says = "line 1: memory: expected a whole number from 0 to 2147483647, got 'lots'"
    with pytest.raises(SetupError, match=says):
        find_target(str(folder))

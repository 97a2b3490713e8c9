import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli import train
from gpfn.cli.main import main
from gpfn.errors import SetupError
from tests.conftest import ROOT


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("model", ["forecast", "digits"])
def test_the_defaults_are_the_scripts(model: str) -> None:
    """They are told in --help, so they stand in both places."""
    code = f"import json, {model} as m; s = m.Settings(); print(s.out); "
    code += "print(json.dumps({name: getattr(s, name) for name in s.__slots__ if name != 'out'}))"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "training", text=True)
    out, settings = shown.splitlines()
    assert Path(out) == ROOT / "models"
    told = vars(parse(model))
    assert {name: told[name] for name in json.loads(settings)} == json.loads(settings)


def test_those_of_images_are_its_scripts() -> None:
    code = "import json, images; s = images.Settings(); "
    code += "print(json.dumps({name: getattr(s, name) for name in s.__slots__}))"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "training", text=True)
    told = vars(parse("images"))
    assert {name: told[name] for name in json.loads(shown)} == json.loads(shown)


def test_the_defaults_of_tables_are_the_scripts() -> None:
    """An option that is not given is left out, and then the script's own default holds."""
    code = "import json, tabular as m; s = m.Settings(); "
    code += "print(json.dumps({name: str(getattr(s, name)) for name in s.__slots__}))"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "training", text=True)
    settings = json.loads(shown)
    told = vars(parse("tabular", "a.csv"))
    assert told.pop("data") == [Path("a.csv")]
    assert told.keys() >= settings.keys() - {"data"}  # --name is that of --watch
    chosen = {name: str(value) for name, value in told.items() if name in settings and value}
    assert chosen == {name: settings[name] for name in chosen}


def test_quick_means_few_epochs() -> None:
    assert parse("forecast", "--quick").epochs == 20
    assert parse("forecast", "--quick", "--epochs", "2").epochs == 2
    assert parse("forecast").epochs == 600


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--epochs", "0"], "expected a whole number from 1 to 1000000000, got '0'"),
        (["--hidden", "-1"], "expected a whole number from 1 to 1000000000, got '-1'"),
        (["--windows", "2"], "expected a whole number from 3 to 1000000000, got '2'"),
        (["--learning-rate", "0"], "expected a number between 0 and 1, got 0"),
        (["--learning-rate", "nan"], "expected a number between 0 and 1, got nan"),
        (["--seed", "one"], "--seed"),
    ],
)
def test_wrong_options_are_wrong_usage(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "forecast", *words]) == 2
    assert complaint in capsys.readouterr().err


def test_the_script_is_found_in_the_checkout_and_first_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.locate("forecast") == ROOT / "training" / "forecast.py"
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "forecast.py").touch()
    assert train.locate("forecast") == tmp_path / "training" / "forecast.py"


def test_an_installed_package_has_a_copy_and_writes_to_where_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "site" / "training"
    copy.mkdir(parents=True)
    (copy / "weather.py").write_text(
        "import dataclasses, pathlib, types\n"
        "@dataclasses.dataclass\n"
        "class Settings:\n    out: pathlib.Path\n    seed: int = 1\n"
        "def train(settings):\n"
        "    made = [settings.out / 'weather.tflite']\n"
        "    return types.SimpleNamespace(summary='done', files=made, plots=[])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_COPY", copy)
    monkeypatch.setattr(train, "_NEEDED", ())
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert (
            train.run(argparse.Namespace(script=None, model="weather", out=None, json=False)) == 0
        )
    assert shown.getvalue() == f"done\nwrote\n  {tmp_path}/models/weather.tflite\n"


@pytest.mark.parametrize("out", ["a/b", "here", "here/c"])
def test_a_training_that_fails_takes_its_folder_away_again(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    script = tmp_path / "failing.py"
    script.write_text(
        "import dataclasses, pathlib\n"
        "from gpfn.errors import SetupError\n"
        "@dataclasses.dataclass\n"
        "class Settings:\n    out: pathlib.Path\n"
        "def train(settings):\n"
        "    assert settings.out.is_dir()\n"
        "    raise SetupError('no')\n"
    )
    monkeypatch.setattr(train, "_NEEDED", ())
    given = argparse.Namespace(script=script, model="failing", out=tmp_path / out, json=False)
    with pytest.raises(SetupError, match="no"):
        train.run(given)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] in (
        ["here"],
        ["here", "__pycache__"],
        ["__pycache__", "here"],
    )
    assert not any((tmp_path / "here").iterdir())


def test_a_folder_whose_name_is_no_text_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / os.fsdecode(b"s\xff.csv")).touch()
    assert main(["train", "forecast", "--data", os.fsdecode(b"s\xff.csv")]) == 1
    assert capsys.readouterr().err.startswith("gpfn: --out: its name is no UTF-8")
    assert len([*tmp_path.iterdir()]) == 1


def test_a_script_that_is_absent_is_told_with_the_places_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match="run this in a checkout") as raised:
        train.locate("weather")
    assert str(tmp_path / "training") in str(raised.value)


def test_without_the_extra_it_says_what_to_install() -> None:
    """An interpreter without any site-packages has none of what training needs."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gpfn", "train", "forecast", "--epochs", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "gpfn: tensorflow is not installed; run: pip install 'gpfn[train]'\n"

"""What goes into a zip, and what stays out."""

from pathlib import Path

import pytest

from gpfn.build.entry import check_main
from gpfn.build.package import gpfn_files, model_files, own_files
from gpfn.errors import SetupError


def test_a_functions_own_files(tmp_path: Path) -> None:
    names = ["func.py", "labels.txt", "part/inner.py", "part/README.md", "small.tflite"]
    around = ["func.yaml", "README.md", "requirements.txt", ".env", ".git/config", "old.pyc"]
    around += ["__pycache__/func.pyc", "part/__pycache__/x.pyc", "__main__.py", "sample.json"]
    for name in names + around:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(own_files(tmp_path)) == sorted(names)


def test_of_gpfn_what_a_function_can_import() -> None:
    names = set(gpfn_files())
    assert {"gpfn/__init__.py", "gpfn/function/function.py", "gpfn/models/bundled/catalogue.toml",
            "gpfn/platforms/openwhisk/adapter.py", "gpfn/classifier.py"} <= names  # fmt: skip
    parts = {name.split("/")[1] for name in names}
    assert not {"cli", "certify", "build", "hosts", "serving"} & parts
    assert all(name.endswith((".py", ".toml")) for name in names)


def test_models_of_the_catalogue_lie_beside_the_function(root: Path) -> None:
    digits = model_files(root / "functions" / "digits" / "func.py", None)
    assert set(digits) == {"digits.tflite", "digits_labels.txt"}


def test_a_function_that_cannot_be_loaded_here_has_no_models(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import only_on_the_platform\n")
    assert model_files(tmp_path / "func.py", None) == {}


@pytest.mark.parametrize(
    "line",
    ["main = f", "def main(a): pass", "async def main(a): pass", "from x import main",
     "from x import y as main", "a, main = 1, 2", "main: object = f", "class main: pass"],
)  # fmt: skip
def test_the_entry_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    (tmp_path / "func.py").write_text(f"{line}\n")
    check_main(tmp_path / "func.py", "main")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("handler = 1\nx = 2\n", r"defines no main.*it defines handler, x"),
        ("if True:\n    pass\n", "it defines nothing"),
        ("def (", "cannot be read"),
        ("\0", "cannot be read"),
    ],
)
def test_a_file_without_the_entry(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "func.py").write_text(source)
    with pytest.raises(SetupError, match=says) as caught:
        check_main(tmp_path / "func.py", "main")
    assert caught.value.field == str(tmp_path / "func.py")

"""What a function needs is seen in its files: runtimes by its models, packages by its imports."""

from pathlib import Path

import pytest

from gpfn.build.dependencies import requirements_of
from gpfn.build.models import Asked
from gpfn.build.needs import check_imports, image_packages, image_parts, missing_imports, needs_of
from gpfn.errors import SetupError

FUNCTION = 'from gpfn import Function\nf = Function(model={model!r}, name="f")\nhandler = f.fn\n'


def function(folder: Path, code: str, files: dict[str, str] | None = None) -> Path:
    """Write a func.py and its neighbours."""
    for name, text in {**(files or {}), "func.py": code}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder / "func.py"


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no function for its models: that starts a process."""
    monkeypatch.setattr("gpfn.build.needs.ask_function", lambda *asked: Asked())


@pytest.mark.parametrize(
    ("model", "runtimes", "extras"),
    [
        ("m.onnx", {"onnx": "m.onnx"}, {"onnx"}),
        ("m.tflite#sha256=00", {"litert": "m.tflite"}, set()),
        ("frozen.pb", {"tensorflow": "frozen.pb"}, {"tensorflow"}),
        ("saved", {"tensorflow": "saved"}, {"tensorflow"}),
        ("catalogue:digits", {"litert": "digits.tflite"}, set()),
        (("env:GP_SERVER_URL", "m.onnx"), {"onnx": "m.onnx"}, {"onnx"}),
        ("https://models.example/m.onnx", {}, set()),
        ("scoring:predict", {}, set()),
        ("saved?signature=serving_default", {"tensorflow": "saved"}, {"tensorflow"}),
        ("m.onnx?signature=a#sha256=00", {"onnx": "m.onnx"}, {"onnx"}),
    ],
)
def test_a_model_tells_its_runtime(
    tmp_path: Path, model: str, runtimes: dict[str, str], extras: set[str]
) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    needs = needs_of(function(tmp_path, FUNCTION.format(model=model)))
    assert (needs.runtimes, needs.extras) == (runtimes, extras)


def test_without_a_declaration_the_files_beside_it_tell(tmp_path: Path) -> None:
    """So does a handler for the stock FDK, and a function that cannot be loaded here."""
    (tmp_path / "m.onnx").write_bytes(b"")
    for code in ("def handler(ctx, data): pass\n", "import only_there\n"):
        assert needs_of(function(tmp_path, code)).runtimes == {"onnx": "m.onnx"}


OPENS = """\
import os
from gpfn import open_model

HERE = os.path.dirname(__file__)


def handler(ctx, data):
    return open_model({place})
"""


@pytest.mark.parametrize(
    "place",
    [
        'os.path.join(HERE, "weights", "scorer.onnx")',
        'f"{HERE}/weights/scorer.onnx"',
        '"weights/scorer.onnx"',
        '"./weights/scorer.onnx"',
    ],
)
def test_a_model_that_the_code_opens_is_seen(tmp_path: Path, place: str) -> None:
    """Nothing declares it, and it does not lie beside the file."""
    files = {"weights/scorer.onnx": "", "notes/old.tflite": "", ".cache/x.pb": ""}
    needs = needs_of(function(tmp_path, OPENS.format(place=place), files))
    assert (needs.runtimes, needs.extras) == ({"onnx": "weights/scorer.onnx"}, {"onnx"})


def test_a_model_that_a_neighbour_opens_is_seen_beside_the_declared_one(tmp_path: Path) -> None:
    files = {"near.py": 'NAME = "second.onnx"\n', "second.onnx": "", "m.tflite": ""}
    code = "import near\n" + FUNCTION.format(model="m.tflite")
    needs = needs_of(function(tmp_path, code, files))
    assert needs.runtimes == {"litert": "m.tflite", "onnx": "second.onnx"}


def test_a_model_that_the_configuration_names_is_seen(tmp_path: Path) -> None:
    files = {"func.yaml": "name: f\nconfig:\n  MODEL: in/m.onnx\n"}
    needs = needs_of(function(tmp_path, FUNCTION.format(model="env:MODEL"), files))
    assert needs.runtimes == {"onnx": "in/m.onnx"}


def test_the_stages_of_a_pipeline_are_seen(tmp_path: Path) -> None:
    stages = '[stages.one]\ntarget = "m.tflite"\n[stages.two]\ntarget = "m.onnx"\ninputs = "one"\n'
    files = {"models/two.pipeline.toml": stages, "models/m.onnx": "", "models/m.tflite": ""}
    code = FUNCTION.format(model="models/two.pipeline.toml")
    assert set(needs_of(function(tmp_path, code, files)).runtimes) == {"litert", "onnx"}


IMPORTS = [
    ("import lightgbm.sklearn as x\n", {"lightgbm"}),
    ("from xgboost import Booster\n", {"xgboost"}),
    ("def f():\n    import pandas\n", {"pandas"}),
    ("class A:\n    from polars import read_csv\n", {"polars"}),
    ("import os, json\nfrom collections.abc import Iterator\nimport gpfn.errors\n", set()),
    ("try:\n    import torch\nexcept ImportError:\n    torch = None\n", set()),
    ("try:\n    import torch\nexcept (OSError, ModuleNotFoundError):\n    import jax\n", set()),
    ("try:\n    import torch\nexcept OSError:\n    pass\n", {"torch"}),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\n", set()),
    ("import typing\nif typing.TYPE_CHECKING:\n    import a\nelse:\n    import b\n", {"b"}),
    (
        "from contextlib import suppress\nwith suppress(OSError, ImportError):\n    import a\n",
        set(),
    ),
    ("import contextlib\nwith contextlib.suppress(ImportError):\n    import a\n", set()),
    ("import contextlib\nwith contextlib.suppress(OSError):\n    import a\n", {"a"}),
    ("import sys\nif sys.version_info >= (3, 11):\n    import a\nelse:\n    import b\n", {"a"}),
    (
        "import sys\nif sys.version_info >= (3, 12):\n    import a\nelse:\n    import b\n",
        {"a", "b"},
    ),
    ("import sys\nif sys.version_info < (3, 8):\n    import a\n", set()),
    ("import sys\nif sys.argv > (3, 8):\n    import a\nelse:\n    import b\n", {"a", "b"}),
    ("if __name__ == '__main__':\n    import a\n", set()),
    ("if __name__ != '__main__':\n    import a\nelse:\n    import b\n", {"a"}),
    ("import near\n", {"lightgbm"}),
    ("from package import part\n", {"catboost"}),
    ("import package.part\n", {"catboost"}),
    ("from package.other import x\n", {"catboost"}),
    ("import package\n", set()),
    ("from spaces import x\n", set()),
]


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize(("code", "modules"), IMPORTS)
def test_imports_are_followed_through_neighbours(
    tmp_path: Path, code: str, modules: set[str]
) -> None:
    files = {
        "near.py": "import lightgbm\nimport near\n",
        "package/__init__.py": "",
        "package/part.py": "import catboost\n",
        "package/other.py": "from . import part\n",
        "spaces/inner.py": "",
        "unused.py": "import never_reached\n",
    }
    assert set(needs_of(function(tmp_path, code, files)).modules) == modules


def test_a_model_that_is_a_python_function_is_followed_too(tmp_path: Path) -> None:
    for model in ("scoring:predict", "scoring.py:predict"):
        file = function(tmp_path, FUNCTION.format(model=model), {"scoring.py": "import lightgbm\n"})
        assert needs_of(file).modules == {"lightgbm": "scoring.py:1"}


def test_gpfns_images_need_their_extra(tmp_path: Path) -> None:
    code = "from gpfn.classifier import Classifier\n"
    assert needs_of(function(tmp_path, code)).extras == {"images"}
    code = "from gpfn.classy.prepare import Preprocessor\n"
    assert needs_of(function(tmp_path, code)).extras == {"images"}
    code = "from gpfn.classy.download import Downloader\n"
    assert needs_of(function(tmp_path, code)).extras == set(), "it decodes nothing"
    code = "def f():\n    from gpfn.events.sdk import to_sdk\n"
    assert needs_of(function(tmp_path, code)).extras == {"cloudevents"}
    code = "from gpfn.events.protobuf_format import read_event\n"
    assert needs_of(function(tmp_path, code)).extras == {"protobuf"}
    assert needs_of(function(tmp_path, "from gpfn import events\n")).extras == set()


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize(
    ("code", "requirements", "missing"),
    [
        ("import lightgbm", "gpfn\nfdk\n", [("lightgbm", "func.py:1", "lightgbm")]),
        ("import lightgbm", "LightGBM>=4\n", []),
        ("import lightgbm", "lightgbm @ https://x.example/l.whl\n", []),
        ("import cv2", "", [("cv2", "func.py:1", "opencv-python-headless")]),
        ("import PIL", "", [("PIL", "func.py:1", "pillow")]),
        ("import sklearn", "scikit_learn\n", []),
        ("import google.cloud.storage", "google-cloud-storage\n", []),
        ("import tensorflow", "tensorflow-cpu==2.19\n", []),
        ("import orjson", "", []),  # gpfn's own
        ("import dateutil", "pandas_or_so\n", []),  # may bring it: not installed here
        ("import lightgbm, pandas", "pandas\n", [("lightgbm", "func.py:1", "lightgbm")]),
        ("import lightgbm", "pillow\n", [("lightgbm", "func.py:1", "lightgbm")]),
        ("import lightgbm", "git+https://x.example/y.git\n", []),
        ("import fdk", "fdk\n", []),
        ("import yaml", "gpfn\n", [("yaml", "func.py:1", "pyyaml")]),  # no image has it
        ("import flatbuffers", "onnxruntime\n", []),  # installed here: what it brings is known
    ],
)
def test_what_nothing_installs(
    tmp_path: Path, code: str, requirements: str, missing: list[tuple[str, str, str]]
) -> None:
    file = function(tmp_path, code, {"requirements.txt": requirements})
    provided = image_packages("litert", ())
    found = missing_imports(needs_of(file), requirements_of(tmp_path), provided)
    assert list(found) == missing


def test_the_line_to_add_is_told_with_the_place(tmp_path: Path) -> None:
    file = function(tmp_path, "import near\n", {"near.py": "\nimport sklearn.linear_model\n"})
    with pytest.raises(SetupError) as caught:
        check_imports(needs_of(file), requirements_of(tmp_path), frozenset())
    assert caught.value.field == "near.py:2"
    assert caught.value.detail.endswith("add this line to requirements.txt: scikit-learn")


@pytest.mark.parametrize(
    ("model", "requirements", "asked", "parts"),
    [
        ("m.onnx", "", ("", ()), ("onnx", ())),
        ("m.tflite", "", ("", ()), ("litert", ())),
        ("frozen.pb", "", ("", ()), ("tensorflow", ())),
        (("m.tflite", "m.onnx"), "", ("", ()), ("litert", ("onnx",))),
        (("m.tflite", "m.onnx"), "", ("onnx", ()), "--runtime litert"),
        ("m.onnx", "", ("onnx", ()), ("onnx", ())),
        ("m.onnx", "", ("litert", ()), "--extra onnx"),
        ("m.onnx", "", ("litert", ("onnx",)), ("litert", ("onnx",))),
        ("m.onnx", "gpfn[onnx]", ("litert", ()), ("litert", ())),
        ("m.onnx", "onnxruntime==1.20", ("litert", ()), ("litert", ("onnx",))),
        ("m.tflite", "", ("tensorflow", ()), "--runtime litert"),
        ("env:GP_SERVER_URL", "", ("", ()), ("litert", ())),
    ],
)
def test_an_image_has_what_the_model_needs(
    tmp_path: Path,
    model: object,
    requirements: str,
    asked: tuple[str, tuple[str, ...]],
    parts: object,
) -> None:
    file = function(tmp_path, FUNCTION.format(model=model), {"requirements.txt": requirements})
    needs, read = needs_of(file), requirements_of(tmp_path)
    if isinstance(parts, str):
        with pytest.raises(SetupError, match=f"add {parts}$"):
            image_parts(needs, read, *asked)
    else:
        assert image_parts(needs, read, *asked) == parts

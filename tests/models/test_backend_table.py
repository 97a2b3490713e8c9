"""The table of backends: that it is true, and that a package from outside adds a row to it."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from gpfn.build.stage.lock import RUNTIMES
from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models import open_model
from gpfn.models.backends import BACKENDS, Backend, accepted, is_remote, runtimes
from gpfn.models.open import backend_of

OPTIONS = {"threads", "inputs", "outputs", "signature", "limits", "settings"}

TOY = '''
"""A backend: models that multiply by the number in their file."""

from pathlib import Path

from gpfn.models import PythonModel
from gpfn.models.backends import Backend

BACKEND = Backend(
    kind="toy",
    runtime="python",
    title="a toy model (.toy)",
    opens="toy:open_toy",
    options=(),
    suffixes=(".toy",),
)


def open_toy(path):
    factor = float(Path(path).read_text())
    return PythonModel(lambda x: x * factor, name=path)
'''


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder with a distribution that adds a backend, and a model for it."""
    (tmp_path / "toy.py").write_text(TOY)
    _distribution(tmp_path, "toy:BACKEND")
    (tmp_path / "three.toy").write_text("3")
    return tmp_path


def _distribution(folder: Path, value: str) -> None:
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gpfn.backends]\ntoy = {value}\n")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
    )


def gpfn(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "gpfn.cli.main", *words)


@pytest.mark.parametrize("row", BACKENDS, ids=lambda row: row.kind)
def test_every_row_names_what_there_is(row: Backend) -> None:
    for name in filter(None, (row.opens, row.recogniser)):
        module, _, attribute = name.partition(":")
        assert callable(getattr(import_module(module), attribute))
    assert set(row.options) <= OPTIONS
    marks = (row.schemes, row.folder, row.magic or row.recogniser, row.endings, row.spelling)
    assert sum(map(bool, marks)) == 1
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in row.suffixes)
    assert row.title in accepted()


def test_kinds_schemes_and_suffixes_are_of_one_row() -> None:
    for values in (
        [row.kind for row in BACKENDS],
        [(scheme, row.path) for row in BACKENDS for scheme in row.schemes],
        [suffix for row in BACKENDS for suffix in row.suffixes],
    ):
        assert len(values) == len(set(values))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("order.tflite", "litert"),
        ("order", "tensorflow-savedmodel"),
        ("order.pb", "tensorflow-frozen"),
        ("order.onnx", "onnx"),
    ],
)
def test_a_model_says_what_its_row_says(made: Path, name: str, kind: str) -> None:
    row = backend_of(made / name)
    assert row.kind == kind
    model = open_model(made / name)
    assert model.backend == row.runtime
    model.close()


def test_addresses_and_functions() -> None:
    assert backend_of("HTTPS://host/model.tflite").kind == "graphpipe"
    assert backend_of("https://host/v2/models/a%20b/versions/1?k=v").kind == "oip"
    assert backend_of("http://host/?at=/v2/models/m").kind == "graphpipe"
    assert [is_remote(row.runtime) for row in BACKENDS] == [bool(row.schemes) for row in BACKENDS]
    assert backend_of("numpy:tanh").kind == "python"
    assert open_model("numpy:tanh").backend == "python"


def test_images_install_what_the_table_says() -> None:
    """build/stage runs where gpfn is not installed, so it has a copy of its own."""
    assert runtimes() == RUNTIMES


def test_extras_install_what_the_table_says(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for row in BACKENDS:
        extras = project["optional-dependencies"]
        wanted = extras[row.extra] if row.extra else project["dependencies"]
        names = {text.partition(">=")[0] for text in wanted}
        assert names.issuperset(row.packages), row.kind


def test_no_entry_point_is_looked_at_when_a_row_of_ours_fits(made: Path, root: Path) -> None:
    code = (
        "import sys\n"
        "from gpfn.models.open import backend_of\n"
        "for uri in sys.argv[1:]: backend_of(uri)\n"
        "assert 'importlib.metadata' not in sys.modules\n"
    )
    uris = [str(made / name) for name in ("order.tflite", "order", "order.pb", "order.onnx")]
    ended = run(root, "-c", code, *uris, "http://host:9000", "numpy.random:rand", "a.py:f")
    assert ended.returncode == 0, ended.stderr
    opened = run(root, "-c", f"from gpfn import open_model\nopen_model({uris[0]!r})\n{code}")
    assert opened.returncode == 0, opened.stderr


def test_a_backend_from_outside_is_one_module_and_one_row(toy: Path) -> None:
    model = str(toy / "three.toy")
    code = (
        "import numpy as np\nfrom gpfn import open_model\n"
        f"print(open_model({model!r})({{'x': np.ones(2)}})['output'].tolist())"
    )
    assert run(toy, "-c", code).stdout == "[3.0, 3.0]\n"
    np.save(toy / "x.npy", np.ones((2, 2), np.float32))
    predicted = gpfn(toy, "predict", model, "--input", str(toy / "x.npy"))
    assert json.loads(predicted.stdout) == [[3.0, 3.0], [3.0, 3.0]], predicted.stderr
    shown = json.loads(gpfn(toy, "models", "show", model, "--json").stdout)
    assert (shown["name"], shown["backend"]) == (model, "python")
    rows = json.loads(gpfn(toy, "models", "backends", "--json").stdout)
    assert [row["kind"] for row in rows] == [*(row.kind for row in BACKENDS), "toy"]
    assert "a toy model (.toy)" in gpfn(toy, "models", "backends").stdout
    absent = gpfn(toy, "models", "show", str(toy / "absent.toy"))
    assert absent.stderr == f"gpfn: no such file: {toy}/absent.toy\n"
    assert "a toy model (.toy)" in gpfn(toy, "models", "show", "nothing").stderr


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("absent_module:ROW", "gpfn: gpfn.backends.toy: cannot be loaded: ModuleNotFoundError"),
        ("toy:open_toy", "gpfn: gpfn.backends.toy: expected a gpfn.models.backends.Backend, got <"),
    ],
)
def test_a_broken_entry_point_is_named(tmp_path: Path, value: str, told: str) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    _distribution(tmp_path, value)
    (tmp_path / "three.toy").write_text("3")
    ended = gpfn(tmp_path, "models", "show", str(tmp_path / "three.toy"))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(told)


def test_signatures_are_refused_where_there_are_none(made: Path) -> None:
    for uri in (made / "order.onnx", made / "order.pb", "numpy:tanh"):
        with pytest.raises(SetupError, match="has no signatures") as caught:
            open_model(uri, signature="serving_default")
        assert caught.value.field == "signature"


def test_a_hash_is_a_files() -> None:
    with pytest.raises(SetupError, match="a function has no sha256"):
        open_model(f"numpy:tanh#sha256={'0' * 64}")
    with pytest.raises(ModelUnreadable, match="no such file"):
        open_model(f"absent.tflite#sha256={'0' * 64}")

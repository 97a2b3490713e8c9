"""The zip of an action: made, called under our runtime and as the stock runtime calls it."""

import base64
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gpfn.build.package import MAX_ZIP, pack
from gpfn.cli.main import main
from gpfn.errors import SetupError, TooLarge
from tests.build.stock import Stock, clean_python
from tests.platforms.openwhisk.served import served

GPFN = str(Path(sys.executable).parent / "gpfn")
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def digit(root: Path) -> dict[str, object]:
    image = (root / "ce_samples" / "digit-7.png").read_bytes()
    return {"image": base64.b64encode(image).decode(), "topk": 1}


def first_class(result: object) -> str:
    assert isinstance(result, dict)
    name: str = result["results"][0]["className"]
    return name


@pytest.fixture(scope="module")
def digits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed") / "digits.zip"
    packed = pack(root / "functions" / "digits" / "func.py", target)
    assert packed.size == target.stat().st_size < 1_000_000
    return target


def test_what_is_in_the_zip(digits: Path) -> None:
    with zipfile.ZipFile(digits) as archive:
        names = archive.namelist()
        top = {name.partition("/")[0] for name in names}
        entry = archive.read("__main__.py").decode()
        wanted = archive.read("requirements.txt").decode().split()
    assert names == sorted(names)
    assert top == {"__main__.py", "func.py", "digits.tflite", "digits_labels.txt", "gpfn",
                   "requirements.txt"}  # fmt: skip
    compile(entry, "__main__.py", "exec")
    assert "from func import main" in entry
    assert [line.partition(">")[0] for line in wanted] == [
        "ai-edge-litert", "httptools", "multipart", "numpy", "orjson", "pillow",
    ]  # fmt: skip


def test_the_same_zip_again(root: Path, digits: Path, tmp_path: Path) -> None:
    pack(root / "functions" / "digits" / "func.py", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == digits.read_bytes()


def test_through_init_of_our_own_runtime(root: Path, digits: Path, tmp_path: Path) -> None:
    with served(tmp_path) as action:
        assert action.init(digits.read_bytes()).status == 200
        assert "load" in action.text(sentinels=0)[0], "the model is open before the first call"
        assert first_class(action.run(digit(root)).json()) == "7"


def test_as_the_stock_runtime_calls_it(root: Path, digits: Path, tmp_path: Path) -> None:
    """With the packages of this environment, as if its requirements had been installed."""
    stock = Stock(digits, tmp_path / "code", sys.executable)
    results = stock.call(digit(root), {"image": "nonsense"})
    assert first_class(results[0]) == "7"
    assert isinstance(results[1], dict)
    assert results[1]["error"]["field"] == "image"
    assert stock.log.index("warm-up") < stock.log.index("(decode ")


@pytest.mark.slow
def test_with_its_packages_it_needs_nothing_else(root: Path, tmp_path: Path) -> None:
    """In an environment without a single package; pip fetches them, as for a deployment."""
    target = tmp_path / "digits.zip"
    packed = pack(root / "functions" / "digits" / "func.py", target, python=THIS_PYTHON)
    assert packed.size < MAX_ZIP
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
    assert "requirements.txt" not in names
    assert any(name.startswith("packages/numpy/") for name in names)
    assert not any("/tests/" in name or name.endswith((".pyc", ".pyi")) for name in names)
    stock = Stock(target, tmp_path / "code", clean_python(tmp_path / "venv"))
    assert first_class(stock.call(digit(root))[0]) == "7"


REMOTE = """
from gpfn import Function, TensorSpec
main = Function(model="env:GP_SERVER_URL", inputs={"series": TensorSpec("float32", (None,))},
                name="remote").openwhisk
"""


def test_a_function_whose_model_is_remote_needs_no_litert(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(REMOTE)
    pack(tmp_path / "func.py", tmp_path / "remote.zip")
    with zipfile.ZipFile(tmp_path / "remote.zip") as archive:
        assert b"litert" not in archive.read("requirements.txt")
    stock = Stock(tmp_path / "remote.zip", tmp_path / "code", sys.executable)
    (result,) = stock.call({"series": [1, 2]})
    assert isinstance(result, dict)
    assert result["error"]["type"] == "model-unreadable", "GP_SERVER_URL is not set there"


def test_another_entry_and_another_file(tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text("def go(args):\n    return {'n': 2 * args['n']}\n")
    pack(tmp_path / "double.py", tmp_path / "double.zip", name="go")
    stock = Stock(tmp_path / "double.zip", tmp_path / "code", sys.executable, main="go")
    assert stock.call({"n": 4}) == [{"n": 8}]
    with served(tmp_path / "log") as action:
        assert action.init((tmp_path / "double.zip").read_bytes(), main="go").status == 200
        assert action.run({"n": 4}).json() == {"n": 8}


def test_a_zip_that_openwhisk_would_refuse(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "digits.zip"
    target.write_bytes(b"before")
    with pytest.raises(TooLarge) as caught:
        pack(root / "functions" / "digits" / "func.py", target, max_bytes=100_000)
    assert "OpenWhisk takes 0.1 MB of zip" in caught.value.detail
    assert "Largest before packing: gpfn " in caught.value.detail
    assert "gpfn build digits --platform openwhisk" in caught.value.detail
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["digits.zip"]


def test_a_large_model_beside_the_function_is_refused(tmp_path: Path) -> None:
    import os

    (tmp_path / "func.py").write_text("def main(args):\n    return args\n")
    (tmp_path / "large.tflite").write_bytes(os.urandom(40 << 20))
    with pytest.raises(TooLarge, match=r"would have 40\.\d MB; OpenWhisk takes 36\.0 MB of zip"):
        pack(tmp_path / "func.py", tmp_path / "f.zip")
    assert not (tmp_path / "f.zip").exists()


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("func.py", "handler = 1", "defines no main"),
        ("my-func.py", "def main(a): pass", "a name that can be imported"),
        ("class.py", "def main(a): pass", "a name that can be imported"),
        ('func.p"""', "def main(a): pass", "a name that can be imported"),
    ],
)
def test_functions_that_cannot_be_packed(tmp_path: Path, name: str, source: str, says: str) -> None:
    (tmp_path / name).write_text(source)
    with pytest.raises(SetupError, match=says):
        pack(tmp_path / name, tmp_path / "f.zip")
    assert not (tmp_path / "f.zip").exists()


def gpfn(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GPFN, "package", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command(root: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "d.zip")
    run = gpfn("openwhisk", str(root / "functions" / "digits"), "-o", target)
    assert run.returncode == 0
    assert run.stdout.startswith(f"{target}: ")
    needs, following = run.stderr.splitlines()
    assert needs == "computes with litert, which digits.tflite needs"
    assert following == f"wsk action create digits --kind python:3.11 {target}"
    run = gpfn("openwhisk", str(tmp_path), "-o", target)
    assert run.returncode == 1
    assert "no such function" in run.stderr
    run = gpfn(
        "openwhisk", str(root / "functions" / "digits"), "-o", str(tmp_path / "no" / "d.zip")
    )
    assert run.returncode == 1
    assert "no such folder" in run.stderr
    assert gpfn("lambda").returncode == 2
    assert json.dumps(gpfn("openwhisk").returncode) == "2"


def packed_names(folder: Path, target: Path) -> dict[str, bytes]:
    pack(folder / "func.py", target)
    with zipfile.ZipFile(target) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "gpfn/" not in name}


def test_requirements_go_in_as_they_stand_with_what_they_lead_to(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for name, text in {
        "func.py": "def main(args):\n    return args\n",
        "requirements.txt": "zzz\n-r more/base.txt\nidna \\\n  ; os_name > 'a'  # why\n./.local\n",
        "more/base.txt": "gpfn\n-c ../pins.txt\n",
        "pins.txt": "zzz==1\n",
        ".local/setup.py": "",
        ".local/README.md": "",
        ".hidden": "",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    found = packed_names(folder, tmp_path / "f.zip")
    text = (folder / "requirements.txt").read_bytes()
    assert found["requirements.txt"].startswith(text)
    assert found["requirements.txt"].removeprefix(text).split() == [
        b"httptools>=0.6.4", b"numpy>=1.26", b"orjson>=3.10",
    ]  # fmt: skip
    assert found["more/base.txt"] == b"-c ../pins.txt\n"
    assert found["pins.txt"] == b"zzz==1\n"
    assert set(found) == {"__main__.py", "func.py", "requirements.txt", "more/base.txt", "pins.txt",
                          ".local/setup.py", ".local/README.md"}  # fmt: skip
    (folder / "requirements.txt").write_text("-r ../outside.txt\n")
    with pytest.raises(SetupError, match=r"requirements\.txt:1: \.\./outside\.txt is outside"):
        pack(folder / "func.py", tmp_path / "g.zip")
    assert not (tmp_path / "g.zip").exists()


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("forecast.tflite", "ai-edge-litert"),
        ("forecast.onnx", "onnxruntime"),
        ("rnn_ts_model.pb", "tensorflow-cpu"),
    ],
)
def test_the_backend_of_the_model_is_asked_for(
    root: Path, tmp_path: Path, file: str, package: str
) -> None:
    code = f'from gpfn import Function\nmain = Function(model="{file}", name="f").openwhisk\n'
    (tmp_path / "func.py").write_text(code)
    shutil.copy(root / "models" / file, tmp_path)
    wanted = packed_names(tmp_path, tmp_path / "f.zip")["requirements.txt"].decode().split()
    backends = ("ai-edge-litert", "onnxruntime", "tensorflow-cpu")
    assert [line for line in wanted if line.startswith(backends)] == [
        line for line in wanted if line.startswith(package)
    ]
    assert any(line.startswith(package) for line in wanted)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("raise ValueError('boom')", "cannot be imported: ValueError: boom (line 5)"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit: 0 (line 5)"),
        ("import only_there", ""),
        ("pass", ""),
    ],
)
def test_what_a_file_raises_here_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    code = "from gpfn import Function\nf = Function(lambda m: m, takes='message', name='f')\n"
    (folder / "func.py").write_text(f"{code}main = f.openwhisk\n\n{line}\n")
    (folder / "requirements.txt").write_text("only-there\n")
    assert main(["package", "openwhisk", str(folder), "-o", str(tmp_path / "f.zip")]) == 0
    first, *_ = capsys.readouterr().err.splitlines()
    found = f"gpfn: {folder / 'func.py'}: {told}; it does not start here"
    assert first == found if told else first.startswith("wsk ")


def test_a_model_that_only_the_code_opens_is_seen_by_package_and_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "from gpfn import open_model\ndef main(args):\n    return open_model('in/m.onnx')\n"
    (tmp_path / "func.py").write_text(code)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m.onnx").write_bytes(b"")
    zipped = tmp_path / "f.zip"
    assert main(["package", "openwhisk", str(tmp_path), "-o", str(zipped)]) == 0
    assert "computes with onnx, which in/m.onnx needs\n" in capsys.readouterr().err
    wanted = zipfile.ZipFile(zipped).read("requirements.txt").decode().split()
    assert [line for line in wanted if line.startswith(("ai-", "onnx"))] == ["onnxruntime>=1.20"]
    assert main(["build", str(tmp_path), "--print"]) == 0
    assert "ARG RUNTIME=onnx\n" in capsys.readouterr().out
    assert main(["build", str(tmp_path), "--print", "--runtime", "litert"]) == 1
    says = "--runtime: in/m.onnx needs onnx, this image has litert: add --extra onnx"
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "content", "says"),
    [
        ("gone.onnx", None, "model: no model found: gone.onnx is neither in"),
        ("m.onnx", b"", "model: the file is empty"),
        ("m.tflite", b"junk", "model: expected a LiteRT model"),
        ("../m.tflite", b"", "model: the file is empty"),
        ("../m.onnx", b"real", "model: m.onnx lies outside of the function's folder"),
    ],
)
def test_a_model_that_cannot_work_is_refused(
    root: Path,
    tmp_path: Path,
    model: str,
    content: bytes | None,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, zipped = tmp_path / "f", tmp_path / "f.zip"
    folder.mkdir()
    code = f'from gpfn import Function\nmain = Function(model="{model}", name="f").openwhisk\n'
    (folder / "func.py").write_text(code)
    if content is not None:
        real = (root / "models" / "forecast.onnx").read_bytes()
        (folder / model).write_bytes(real if content == b"real" else content)
    for command in (
        ["package", "openwhisk", str(folder), "-o", str(zipped)],
        ["build", str(folder), "--print"],
    ):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"gpfn: {says}")
    assert not zipped.exists()


@pytest.mark.parametrize("name", ["mine", "digits"])
def test_a_model_of_ones_own_catalogue_is_not_deployed(
    root: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither a name that ours lacks, nor one that is another model there."""
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(root / "models" / "forecast.tflite", own / "m.tflite")
    (own / "model.toml").write_text('model = "m.tflite"\n')
    monkeypatch.setenv("GPFN_CATALOGUE", str(tmp_path / "ours.toml"))
    assert main(["models", "add", str(own), "--name", name]) == 0
    folder, zipped = tmp_path / "f", tmp_path / "f.zip"
    folder.mkdir()
    code = f'from gpfn import Function\nf = Function(model="catalogue:{name}", name="f")\n'
    (folder / "func.py").write_text(f"{code}handler, main, app = f.fn, f.openwhisk, f.asgi\n")
    capsys.readouterr()
    says = f"{name} is a model of GPFN_CATALOGUE, which is not deployed: name the file in the"
    for command in (
        ["package", "openwhisk", str(folder), "-o", str(zipped)],
        ["build", str(folder), "--print"],
    ):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"gpfn: model: {says}")
    assert not zipped.exists()
    assert main(["doctor", str(folder), "--no-start"]) == 1
    assert says in capsys.readouterr().out
    monkeypatch.delenv("GPFN_CATALOGUE")
    if name == "mine":
        assert main(["doctor", str(folder)]) == 1
        assert "model  name: no model named 'mine'" in capsys.readouterr().out


def test_a_function_that_is_no_python_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, zipped = tmp_path / "f", tmp_path / "f.zip"
    folder.mkdir()
    (folder / "func.py").write_text("def (")
    for words in (["package", "openwhisk", str(folder), "-o", str(zipped)], ["build", str(folder)]):
        assert main([*words, *(["--print"] if words[0] == "build" else [])]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("func.py: cannot be read: invalid syntax (func.py, line 1)")
    assert not zipped.exists()


def test_no_space_is_one_line(root: Path, tmp_path: Path) -> None:
    """A bound on the size of files stands for a full disk."""
    function, gpfn_command = shlex.quote(str(root / "functions" / "forecast")), shlex.quote(GPFN)
    for words in (f"package openwhisk {function} -o f.zip", f"build {function} --context made"):
        command = ["bash", "-c", f"ulimit -f 60; exec {gpfn_command} {words}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("gpfn: ")
        assert "File too large" in line
        assert list(tmp_path.iterdir()) == []


def test_what_the_function_imports_has_to_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import near\n\n\ndef main(args):\n    return near.f(args)\n")
    (tmp_path / "near.py").write_text("import rich\n\nimport lightgbm\n")
    with pytest.raises(SetupError, match=r"^near\.py:3: imports lightgbm.*requirements.txt: light"):
        pack(tmp_path / "func.py", tmp_path / "f.zip")
    assert not (tmp_path / "f.zip").exists()
    (tmp_path / "requirements.txt").write_text("lightgbm==4.5.0\n")
    wanted = packed_names(tmp_path, tmp_path / "f.zip")["requirements.txt"].decode().split()
    assert wanted[0] == "lightgbm==4.5.0"
    assert "rich>=13.7" in wanted, "gpfn's own, which no action has unless it is called"


@pytest.mark.parametrize("name", ["a\nb.txt", "a\\b.txt", "a\x1b.txt"])
def test_names_that_a_zip_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "func.py").write_text("def main(args):\n    return args\n")
    (tmp_path / name).write_text("")
    with pytest.raises(SetupError, match="a file's name has characters"):
        pack(tmp_path / "func.py", tmp_path / "f.zip")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    import os

    (tmp_path / "func.py").write_text("def main(args):\n    return args\n")
    Path(os.fsdecode(bytes(tmp_path) + b"/\xe4.txt")).write_text("")
    with pytest.raises(SetupError, match="a file's name has characters"):
        pack(tmp_path / "func.py", tmp_path / "f.zip")


def test_what_is_to_be_typed_next_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "it's $(id)"
    folder.mkdir()
    (folder / "func.py").write_text("def main(args):\n    return args\n")
    run = gpfn("openwhisk", str(folder), "-o", str(tmp_path / "a b.zip"))
    assert run.returncode == 0
    words = shlex.split(run.stderr)
    assert words[:4] == ["wsk", "action", "create", "it's $(id)"]
    assert words[-1] == str(tmp_path / "a b.zip")

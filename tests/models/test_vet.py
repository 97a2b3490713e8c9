"""Models that end the process that opens or calls them: told as an error, in time."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.models import open_model, vet_model

PYTHON = {
    "aborts": "import os\n\ndef f(x):\n    os.abort()\n",
    "faults": "import ctypes\nctypes.string_at(0)\n\ndef f(x):\n    return x\n",
    "leaves": "import os\nos._exit(0)\n",
    "exits": "import sys\nsys.exit(3)\n",
    "hangs": "import time\ntime.sleep(60)\n",
    "grows": "import numpy as np\nbig = np.ones(1 << 30)\n\ndef f(x):\n    return x\n",
    "prints": "print('{}' * 99999)\n\ndef f(x):\n    return x\n",
    "spawns": "import os, time\nif not os.fork():\n    time.sleep(60)\n\ndef f(x):\n    return x\n",
}
DECLARED = "from gpfn import TensorSpec\nfrom gpfn.models import declare\n"


def python_model(folder: Path, name: str) -> str:
    """Write a function that declares an input, so that it is called as a trial."""
    source = PYTHON[name].replace(
        "def f", "@declare(inputs={'x': TensorSpec('float32', (None, 2))})\ndef f"
    )
    (folder / f"{name}.py").write_text(DECLARED + source)
    return f"{folder / name}.py:f"


@pytest.mark.parametrize("name", ["order.tflite", "order.onnx", "order.pb", "order", "text.pb"])
def test_good_models_pass(made: Path, name: str) -> None:
    vet_model(made / name)
    vet_model(f"{made}/several.tflite?signature=twice")
    vet_model(made / "several.tflite", signature="thrice")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("aborts", "was ended by SIGABRT"),
        ("faults", "was ended by SIGSEGV"),
        ("leaves", "ended with exit code 0"),
    ],
)
def test_what_ends_the_child_is_told(tmp_path: Path, name: str, told: str) -> None:
    uri = python_model(tmp_path, name)
    with pytest.raises(ModelUnreadable, match=told) as caught:
        vet_model(uri)
    assert uri in caught.value.detail


def test_what_its_code_raises_is_told(tmp_path: Path) -> None:
    uri = python_model(tmp_path, "exits")
    with pytest.raises(SetupError, match=r"cannot import .*: SystemExit: 3 \(line 4\)") as caught:
        vet_model(uri)
    assert uri in caught.value.detail


def test_time_and_memory_are_bounded(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ModelUnreadable, match="was not done within 2 s"):
        vet_model(python_model(tmp_path, "hangs"), seconds=2)
    assert time.monotonic() - begin < 10
    grown = r"more than 1073741824 bytes|Unable to allocate"
    with pytest.raises((ModelUnreadable, SetupError), match=grown):
        vet_model(python_model(tmp_path, "grows"), memory=1 << 30)


def test_what_a_model_prints_or_starts_harms_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begin = time.monotonic()
    vet_model(python_model(tmp_path, "prints"))
    vet_model(python_model(tmp_path, "spawns"))
    assert capfd.readouterr() == ("", "")
    assert time.monotonic() - begin < 30


def test_what_opening_says_is_said(made: Path, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"\x08\0\0\0TFL3" + bytes(64))
    for uri, kind in (
        (str(tmp_path / "m.tflite"), ModelUnreadable),
        (str(made / "several.tflite"), SetupError),
        (f"{made / 'order.tflite'}#sha256={'0' * 64}", ModelUnreadable),
    ):
        with pytest.raises(kind) as here:
            open_model(uri)
        with pytest.raises(kind) as there:
            vet_model(uri)
        assert (there.value.detail, there.value.field) == (here.value.detail, here.value.field)


def test_an_address_is_left_alone() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        vet_model(f"http://127.0.0.1:{closed.getsockname()[1]}")


def test_a_file_that_makes_litert_leave_its_memory(tmp_path: Path) -> None:
    model, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.builtinCode = code.deprecatedBuiltinCode = 13  # LOCAL_RESPONSE_NORMALIZATION
    code.version = 1
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    for tensor in graph.tensors:
        tensor.shape, tensor.type, tensor.name = [1, 2, 2, 2], schema.TensorType.FLOAT32, b"t"
    operator, options = schema.OperatorT(), schema.LocalResponseNormalizationOptionsT()
    options.radius = 1 << 30  # of two channels: a small number with one bit flipped
    operator.inputs, operator.outputs, operator.opcodeIndex = [0], [1], 0
    operator.builtinOptionsType = schema.BuiltinOptions.LocalResponseNormalizationOptions
    operator.builtinOptions = options
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "outside.tflite"
    path.write_bytes(builder.Output())
    # It reads outside of its memory, for as long as there is something.
    with pytest.raises(
        ModelUnreadable, match=r"was ended by SIG|was not done within 5 s"
    ) as caught:
        vet_model(path, seconds=5)
    assert str(path) in caught.value.detail


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--listen", "127.0.0.1:0", "--vet", "--model"],
        ["predict", "--vet", "--input", "-"],
        ["models", "show", "--vet"],
    ],
)
def test_commands_survive(tmp_path: Path, command: list[str]) -> None:
    uri = python_model(tmp_path, "aborts")
    gpfn = shutil.which("gpfn", path=os.path.dirname(sys.executable))
    assert gpfn is not None
    ended = subprocess.run(
        [gpfn, *command, uri],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "was ended by SIGABRT" in ended.stderr
    assert "Traceback" not in ended.stderr

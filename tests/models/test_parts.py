"""Models of several files: every file counts, wherever the model names it."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gpfn.errors import DownloadFailed, ModelUnreadable, SetupError
from gpfn.models import ModelCache, PythonModel, open_model
from gpfn.models.catalogue import read_catalogue
from gpfn.models.parts import model_digest, model_parts, model_size, model_stamp
from gpfn.models.store import fetch_url, obtain_model
from tests.models.fileserver import file_server

WEIGHTS = np.array([1.0, 2.0, 3.0], np.float32)


def outside(location: str, name: str = "w") -> TensorProto:
    """A tensor of three numbers whose bytes lie in the file ``location``."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def constant(location: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["w"], value=outside(location))


def graph(nodes: list, inputs: list, outputs: list, constants: list = ()) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", inputs, outputs, list(constants))


def model_bytes(whole: onnx.GraphProto, functions: list = ()) -> bytes:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = helper.make_model(whole, opset_imports=opsets, ir_version=8, functions=list(functions))
    return made.SerializeToString()


X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
ADD = helper.make_node("Add", ["x", "w"], ["y"])


def initialiser(location: str) -> bytes:
    return model_bytes(graph([ADD], [X], [Y], [outside(location)]))


def attribute(location: str) -> bytes:
    return model_bytes(graph([constant(location), ADD], [X], [Y]))


def subgraph(location: str) -> bytes:
    """The tensor is an initialiser of one branch of a condition within another."""
    w = helper.make_tensor_value_info("v", TensorProto.FLOAT, [3])
    inner = graph([helper.make_node("Identity", ["w"], ["v"])], [], [w], [outside(location)])
    middle = helper.make_node("If", ["yes"], ["v"], then_branch=inner, else_branch=inner)
    outer = helper.make_node(
        "If", ["yes"], ["u"], then_branch=graph([middle], [], [w]), else_branch=inner
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    add = helper.make_node("Add", ["x", "u"], ["y"])
    return model_bytes(graph([outer, add], [X], [Y], [yes]))


def function(location: str) -> bytes:
    opsets = [helper.make_opsetid("", 17)]
    body = helper.make_function("own", "Plus", ["x"], ["y"], [constant(location), ADD], opsets)
    call = helper.make_node("Plus", ["x"], ["y"], domain="own")
    return model_bytes(graph([call], [X], [Y]), [body])


def sparse(location: str) -> bytes:
    whole = graph([ADD], [X], [Y])
    indices = helper.make_tensor("", TensorProto.INT64, [3], [0, 1, 2])
    whole.sparse_initializer.add(values=outside(location), indices=indices, dims=[3])
    return model_bytes(whole)


def write(folder: Path, content: bytes, location: str = "w.bin") -> Path:
    """Put a model and its data into a folder."""
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    (folder / location).write_bytes(WEIGHTS.tobytes())
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


MAKERS = [initialiser, attribute, subgraph, function, sparse]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("location", ["w.bin", "deep/er/w.bin"])
def test_a_file_beside_an_onnx_file_counts(
    tmp_path: Path, make: Callable[[str], bytes], location: str
) -> None:
    path = write(tmp_path, make(location), location)
    assert [part.name for part in model_parts(path)] == ["", location]
    assert model_size(path) == path.stat().st_size + 12
    known, stamp = model_digest(path), model_stamp(path)
    (tmp_path / location).write_bytes((WEIGHTS + 1).tobytes() + b"longer")
    assert model_digest(path) != known
    assert model_stamp(path) != stamp
    with pytest.raises(ModelUnreadable, match=f"expected the SHA-256 {known}, found"):
        open_model(f"{path}#sha256={known}")


@pytest.mark.parametrize("make", [initialiser, attribute])
def test_a_model_with_files_beside_it_opens_by_its_hash(
    tmp_path: Path, make: Callable[[str], bytes]
) -> None:
    path = write(tmp_path, make("w.bin"))
    lines = f"\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
    lines += f"w.bin\0{hashlib.sha256(WEIGHTS.tobytes()).hexdigest()}\n"
    assert model_digest(path) == hashlib.sha256(lines.encode()).hexdigest()
    model = open_model(f"{path}#sha256={model_digest(path).upper()}")
    assert model({"x": np.zeros((1, 3), np.float32)})["y"].tolist() == [[1.0, 2.0, 3.0]]
    assert model.resident_bytes == path.stat().st_size + 12  # type: ignore[attr-defined]


def test_the_hash_of_one_file_is_its_own(made: Path) -> None:
    path = made / "order.onnx"
    assert model_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [part.name for part in model_parts(path)] == [""]


def test_a_folder_has_a_hash_over_all_its_files(made: Path, tmp_path: Path) -> None:
    path = made / "affine"
    names = [part.name for part in model_parts(path)]
    assert "saved_model.pb" in names
    assert "variables/variables.data-00000-of-00001" in names
    known = model_digest(path)
    model = open_model(f"{path}#sha256={known}")
    assert model.resident_bytes == model_size(path)  # type: ignore[attr-defined]
    with pytest.raises(ModelUnreadable, match=f"found {known}"):
        open_model(f"{path}#sha256={'0' * 64}")
    with pytest.raises(SetupError, match="a function has no sha256"):
        open_model("os.path:join#sha256=" + known)


@pytest.mark.parametrize(
    "location", ["../w.bin", "a/../../w.bin", "/etc/hostname", "", "a/../w.bin", "w\0.bin"]
)
@pytest.mark.parametrize("make", MAKERS)
def test_a_file_outside_of_the_folder_is_refused(
    tmp_path: Path, make: Callable[[str], bytes], location: str
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    path = write(tmp_path / "inside", make(location))
    for ask in (open_model, model_digest, model_size):
        with pytest.raises(ModelUnreadable, match="is outside of the model's folder"):
            ask(str(path))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "inside", initialiser("w.bin"))
    (path.parent / "w.bin").rename(tmp_path / "w.bin")
    (path.parent / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ModelUnreadable, match="outside"):
        open_model(path)


def test_a_store_that_links_the_model_and_its_data_is_understood(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "one"
    path = write(blobs, initialiser("w.bin"))
    path.rename(blobs / "aa")
    (blobs / "w.bin").rename(blobs / "bb")
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to(blobs / "aa")
    (snapshot / "w.bin").symlink_to(blobs / "bb")
    assert model_size(snapshot / "model.onnx") == (blobs / "aa").stat().st_size + 12


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, initialiser("w.bin"))
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelUnreadable, match=r"needs the file 'w\.bin' beside it"):
        open_model(path)


def test_watching_sees_every_file(tmp_path: Path) -> None:
    path, cache = write(tmp_path, initialiser("w.bin")), ModelCache()
    ask = {"watch": str(path)}
    first = cache.get("m", lambda: PythonModel(len), **ask)
    assert cache.get("m", lambda: PythonModel(len), **ask) is first
    (tmp_path / "w.bin").write_bytes(bytes(24))
    second = cache.get("m", lambda: PythonModel(len), **ask)
    assert second is not first
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    shard = folder / "variables" / "variables.data-00001-of-00002"
    shard.write_bytes(b"1")
    first = cache.get("f", lambda: PythonModel(len), watch=str(folder))
    shard.write_bytes(b"22")
    assert cache.get("f", lambda: PythonModel(len), watch=str(folder)) is not first


def test_a_folder_that_leads_into_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    (tmp_path / "again").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert [part.name for part in model_parts(tmp_path)] == ["saved_model.pb"]


def test_a_model_is_fetched_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    here = write(tmp_path / "here", initialiser("deep/w.bin"), "deep/w.bin")
    known = model_digest(here)
    with file_server() as server:
        url = server.put("/m/other.onnx", here.read_bytes())
        server.put("/m/deep/w.bin", WEIGHTS.tobytes())
        for address in (f"{url}#sha256={known}", url):
            path = fetch_url(address)
            assert model_digest(path) == known
            assert (path.parent / "deep" / "w.bin").read_bytes() == WEIGHTS.tobytes()
        asked = len(server.requests)
        assert fetch_url(f"{url}#sha256={known}").name == "other.onnx"
        assert len(server.requests) == asked
        server.put("/m/deep/w.bin", bytes(12))
        own = hashlib.sha256(here.read_bytes()).hexdigest()
        with pytest.raises(DownloadFailed, match=f"the files beside it have sha256 .*{own}"):
            fetch_url(f"{url}#sha256={own}")
        server.put("/m/deep/w.bin", b"", status=404)
        with pytest.raises(DownloadFailed, match=r"deep/w\.bin answered 404"):
            fetch_url(url)
        assert model_digest(path) == known  # what was there is untouched


def test_a_fetched_model_may_not_write_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    with file_server() as server:
        url = server.put("/m/model.onnx", initialiser("../../../w.bin"))
        server.put("/w.bin", WEIGHTS.tobytes())
        with pytest.raises(ModelUnreadable, match="outside"):
            fetch_url(url)
    assert [path.name for path in tmp_path.rglob("w.bin")] == []


def test_a_mirror_has_the_files_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write(tmp_path / "mirror", initialiser("w.bin"))
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(here.parent))
    path = fetch_url(f"http://127.0.0.1:9/model.onnx#sha256={model_digest(here)}")
    assert model_digest(path) == model_digest(here)


def test_a_catalogue_model_finds_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    here = write(tmp_path / "mirror", initialiser("w.bin"))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(here.parent))
    text = '[models.m]\nmodel = "model.onnx"\ntitle = "t"\nlicence = "l"\nsource = "s"\n'
    for path in (here, here.parent / "w.bin"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text += f'[models.m.files."{path.name}"]\nurl = "https://nowhere.invalid/{path.name}"\n'
        text += f'sha256 = "{digest}"\nsize = {path.stat().st_size}\n'
    (tmp_path / "catalogue.toml").write_text(text)
    entry = next(iter(read_catalogue(tmp_path / "catalogue.toml")))
    for _ in range(2):
        model = open_model(obtain_model(entry))
        assert model({"x": np.zeros((1, 3), np.float32)})["y"].tolist() == [[1.0, 2.0, 3.0]]

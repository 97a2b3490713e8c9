"""What a model is, what it can become, and what is refused before anything is made."""

import io
import json
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.cli.main import main
from gpfn.convert.comparing import Agreement, Difference
from gpfn.convert.converting import Conversion, Report
from gpfn.convert.sides import Speed
from gpfn.convert.sources import TARGETS, find_source, find_target
from gpfn.convert.torch_files import what_it_is
from gpfn.convert.writing import check_replaceable, publish_model
from gpfn.errors import SetupError
from gpfn.models.description import read_description
from tests.conftest import ROOT
from tests.convert.making import refused

TORCH = Path(__file__).parent / "torch"
"""Written by PyTorch 2.15, by hand; torch is too large to be had in CI."""


def rewritten(source: Path, target: Path, **members: bytes) -> str:
    """Copy a zip with other members added or replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = {name.replace("__", "/"): data for name, data in members.items()}
        for name in old.namelist():
            new.writestr(name, names.pop(name, None) or old.read(name))
        for name, data in names.items():
            new.writestr(name, data)
    return str(target)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mlp.pt2", "torch_program"),
        ("lstm.pt2", "torch_program"),
        ("whole.pt", "torch_pickle"),
    ],
)
def test_files_of_pytorch(name: str, kind: str) -> None:
    assert find_source(str(TORCH / name)).name == kind


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weights.pt", "its class is needed: gpfn convert module:factory --state"),
        ("script.pt", "is TorchScript, which PyTorch no longer exports"),
        ("mlp.onnx", "needs no conversion: it is opened as it is"),
        ("mlp.tflite", "needs no conversion"),
        ("answers.npz", "is of no kind that is converted"),
    ],
)
def test_files_that_are_not_converted(name: str, told: str, tmp_path: Path, capsys) -> None:
    assert told in refused(capsys, str(TORCH / name), "-o", str(tmp_path / "m.onnx"))


def test_a_program_with_code_in_it_has_to_be_trusted(tmp_path: Path, capsys) -> None:
    with zipfile.ZipFile(TORCH / "mlp.pt2") as archive:
        model = json.loads(archive.read("t_mlp/models/model.json"))
    text = json.dumps(model)
    assert "expr_str" in text
    formula = text.replace("Symbol('s", "__import__('os').system('true') or Symbol('s")
    members = {
        "t_mlp__models__model.json": formula.encode(),
        "t_mlp__data__constants__opaque_obj_0": pickle.dumps(1),
        "t_mlp__data__aotinductor__model__a.so": b"\x7fELF",
    }
    for name, data in members.items():
        path = rewritten(TORCH / "mlp.pt2", tmp_path / "changed.pt2", **{name: data})
        assert find_source(path).name == "torch_code", name
        told = refused(capsys, path, "-o", str(tmp_path / "m.onnx"))
        assert "runs code of whoever made it" in told


@given(st.binary(max_size=200))
def test_whatever_a_pickle_has_is_told_and_not_run(data: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", data)
    buffer.seek(0)
    assert what_it_is(buffer) in ("weights", "module")  # type: ignore[arg-type]


def test_a_name_of_a_module_is_no_plain_name(tmp_path: Path) -> None:
    code = pickle.dumps(print)
    plain = pickle.dumps({"a": [1.0]})
    for data, kind in ((code, "module"), (plain, "weights")):
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            archive.writestr("m/data.pkl", data)
        assert what_it_is(str(tmp_path / "m.pt")) == kind


def test_what_it_becomes() -> None:
    keras = find_source(str(TORCH / "mlp.pt2"))
    assert find_target("a/b.onnx", keras).name == "onnx"
    assert find_target("B.TFLITE", keras).name == "tflite"
    for output, told in (("folder", "not a SavedModel"), ("m.bin", "ends in .onnx, .tflite, .pb")):
        with pytest.raises(SetupError, match=told):
            find_target(output, keras)
    assert [target.suffixes for target in TARGETS][-1] == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["absent.keras", "-o", "m.onnx"], "no such file: absent.keras"),
        (["{folder}", "-o", "m.onnx"], "without saved_model.pb, so not a SavedModel"),
        (["{torch}/mlp.pt2", "-o", "m.tflite"], "takes 6.4 GB; if that is all right, add --with"),
        (["{torch}/mlp.pt2", "-o", "m.onnx", "--with", "litert-torch"], "this needs no --with"),
        (["{torch}/mlp.pt2", "-o", "m.onnx", "--state", "{torch}/weights.pt"], "module:factory"),
        (["nets:make", "-o", "m.onnx", "--state", "absent.pt"], "no such file: absent.pt"),
        (["nets:make", "-o", "m.onnx", "--sample", "absent.npy"], "no such file: absent.npy"),
        (["nets:make", "-o", "m.onnx", "--sample", "a.csv"], "PyTorch takes .npy files"),
        (["{torch}/mlp.pt2", "-o", "{torch}/mlp.onnx"], "is there; --force writes over it"),
    ],
)
def test_refused_before_anything_is_made(words, told, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    filled = [word.format(folder=tmp_path, torch=TORCH) for word in words]
    assert told in refused(capsys, *filled)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("name", ["m/data.pkl", "m/models/m.json"])
def test_a_damaged_member_is_not_trusted(name: str, method: int, tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.writestr(name, json.dumps([*range(500)]))
    begin = 50 + len(name)  # behind the heads, where a change may change nothing
    for at in range(begin, begin + 40):
        data = bytearray(whole.read_bytes())
        data[at] ^= 0xFF
        (tmp_path / "m.pt").write_bytes(data)
        assert what_it_is(str(tmp_path / "m.pt")) == "module"


@pytest.mark.parametrize("output", ["mine", "mine/", "saved", "mine/..", ".", "model.onnx"])
def test_force_never_removes_a_folder_that_is_no_model(
    output: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "saved", "model.onnx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "letter.txt").write_text("dear")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    told = refused(capsys, "m.h5", "-o", output, "--force")
    assert any(each in told for each in ("is not replaced", "is a folder", "no name", "ends in"))
    (tmp_path / "m.h5").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_force_replaces(tmp_path: Path) -> None:
    check_replaceable(str(tmp_path / "absent"), folder=True)
    check_replaceable(str(tmp_path), folder=True)
    (tmp_path / "variables").mkdir()
    with pytest.raises(SetupError, match=r"has no saved_model\.pb"):
        check_replaceable(str(tmp_path), folder=True)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    check_replaceable(str(tmp_path), folder=True)


@pytest.mark.parametrize("name", ["\U0001f600", 'a"b\\', "\x7f\x85", "line\nbreak", "\udcff"])
def test_a_description_can_be_read_whatever_names_are_in_it(name: str, tmp_path: Path) -> None:
    source = find_source(str(shutil.copy(TORCH / "mlp.pt2", tmp_path / f"{name}.pt2")))
    order = Conversion(source, TARGETS[0], str(tmp_path / "m.onnx"))
    found = Agreement((Difference("label", True, 4), Difference("scores", False, 8)))
    facts = {"columns": [name], "classes": [name, "b"], "versions": {"torch": name}}
    report = Report(facts, found, Speed(1, 1.0, 1.0), 1, 1, True, 0.0)
    assert publish(order, report, tmp_path)
    described = read_description(tmp_path / "model.toml")
    assert described.model.name == "m.onnx"


def test_a_description_of_the_users_own_stays(tmp_path: Path) -> None:
    source = find_source(str(TORCH / "mlp.pt2"))
    report = Report({}, Agreement(()), Speed(1, 1.0, 1.0), 1, 1, True, 0.0)
    order = Conversion(source, TARGETS[0], str(tmp_path / "m.onnx"))
    (tmp_path / "model.toml").write_text('model = "m.onnx"\ntitle = "mine"\n')
    assert not publish(order, report, tmp_path)
    assert "mine" in (tmp_path / "model.toml").read_text()
    assert publish(order._replace(force=True), report, tmp_path)
    assert "mine" not in (tmp_path / "model.toml").read_text()
    blank = order._replace(output=str(tmp_path / "a" / "my model.onnx"))
    (tmp_path / "a").mkdir()
    assert not publish(blank, report, tmp_path), "a name that no model.toml has"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["my model.onnx"]


def publish(order: Conversion, report: Report, folder: Path) -> str:
    work = Path(tempfile.mkdtemp(dir=folder))
    (work / Path(order.output).name).write_bytes(b"model")
    described = publish_model(order, report, work)
    shutil.rmtree(work)
    return described


def test_usage(capsys) -> None:
    assert main(["convert"]) == 2
    assert "give MODEL and -o OUT" in capsys.readouterr().err
    assert main(["convert", "m.keras"]) == 2
    assert "give -o OUT" in capsys.readouterr().err
    assert main(["convert", "m.keras", "-o", "m.onnx", "--tolerance", "-1"]) == 2


def test_init_names_the_command(tmp_path: Path, capsys) -> None:
    assert main(["init", "f", "--from", str(TORCH / "whole.pt")]) == 1
    told = f"gpfn convert {TORCH / 'whole.pt'} -o model.onnx, then use model.onnx"
    assert told in capsys.readouterr().err
    assert (ROOT / "docs" / "convert.md").is_file()

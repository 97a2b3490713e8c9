"""What a models folder holds: layouts, names, links, owners, and looks at one that changes."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import GpfnError, SetupError, escaped
from gpfn.models import open_model
from gpfn.serving import folder_view
from gpfn.serving.folder import Scan, Survey, is_model_name, scan
from gpfn.serving.folder_watch import Changes, FolderWatch
from gpfn.serving.opener import Opener
from tests.conftest import ROOT

TFLITE = ROOT / "models" / "forecast.tflite"
SAVED = ROOT / "models" / "forecast_savedmodel"
DOUBLE = "def double(x):\n    return 2 * x\n"


def put(folder: Path, *files: str, model: Path = TFLITE) -> None:
    """Copy a model to each place; a name that ends in / is a SavedModel's folder."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.endswith("/"):
            shutil.copytree(SAVED, path, dirs_exist_ok=True)
        else:
            shutil.copy(model, path)


def found(result: Scan, folder: Path) -> dict[str, str]:
    """Return the URIs as seen from the folder, by NAME/VERSION."""
    return {
        f"{each.name}/{each.version}": os.path.relpath(each.uri, folder)
        for versions in result.models.values()
        for each in versions
    }


def reasons(result: Scan | Changes) -> dict[str, str]:
    return {each.path: each.reason for each in result.ignored}


# layouts


def test_every_layout(tmp_path: Path) -> None:
    put(tmp_path, "a/1/model.tflite", "a/12/any-name.tflite", "a/2/model.tflite")
    put(tmp_path, "saved/3/", "triton/1/model.savedmodel/", "one/model.tflite", "lone/")
    put(tmp_path, "plain-1.5.tflite")
    put(tmp_path, "graph/1/g.pb", model=ROOT / "models" / "rnn_ts_model.pb")
    put(tmp_path, "onnx/1/model.onnx", model=ROOT / "models" / "forecast.onnx")
    result = scan(tmp_path)
    assert not result.ignored
    assert found(result, tmp_path) == {
        "a/1": "a/1/model.tflite",
        "a/2": "a/2/model.tflite",
        "a/12": "a/12/any-name.tflite",
        "graph/1": "graph/1/g.pb",
        "lone/1": "lone",
        "one/1": "one/model.tflite",
        "onnx/1": "onnx/1/model.onnx",
        "plain-1.5/1": "plain-1.5.tflite",
        "saved/3": "saved/3",
        "triton/1": "triton/1/model.savedmodel",
    }
    assert [each.version for each in result.models["a"]] == ["1", "2", "12"], "upwards"
    assert open_model(result.models["a"][0].uri).inputs[0].name == "series"


def test_our_own_models() -> None:
    """The folder of this repository: one name, two files."""
    result = scan(ROOT / "models")
    assert set(result.models) == {
        "circle",
        "digits",
        "flowers",
        "forecast",
        "forecast_savedmodel",
        "rnn_ts_model",
    }
    assert reasons(result) == {
        "forecast.onnx": "forecast is served from forecast.tflite",
        "plots": "no model: expected a SavedModel or a file *.tflite *.pb *.onnx",
    }


NO_VERSION = "no version: expected a whole number from 1, without zeros in front"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("1", None),
        ("123456789012345678", None),
        ("007", NO_VERSION),
        ("0", NO_VERSION),
        ("v2", NO_VERSION),
        ("1234567890123456789", NO_VERSION),
        ("-1", NO_VERSION),
        ("1.0", NO_VERSION),
        ("\u0661", NO_VERSION),
        ("latest", NO_VERSION),
        (".3", ""),
        ("lost+found", ""),
        ("4.tmp", ""),
        ("4~", ""),
        ("__pycache__", ""),
    ],
)
def test_the_outcome_for_the_name_of_a_version(
    tmp_path: Path, entry: str, reason: str | None
) -> None:
    """tensorflow/serving#1230 and #1250: such versions are not there, without a word."""
    put(tmp_path, "m/5/model.tflite", f"m/{entry}/model.tflite")
    result = scan(tmp_path)
    expected = ["5"] if reason is not None else sorted(["5", entry], key=int)
    assert [each.version for each in result.models["m"]] == expected
    assert reasons(result) == ({f"m/{entry}": reason} if reason else {})


@pytest.mark.parametrize("entry", ["007", "v2", "1.0"])
def test_what_looks_like_a_version_alone(tmp_path: Path, entry: str) -> None:
    put(tmp_path, f"m/{entry}/model.tflite", f"s/{entry}/")
    result = scan(tmp_path)
    assert not result.models
    assert reasons(result)[f"m/{entry}"] == reasons(result)[f"s/{entry}"] == NO_VERSION


def test_what_lies_beside_versions_is_told(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.tflite", "m/model.tflite", "m/2")
    (tmp_path / "m" / "config.pbtxt").write_text("name: 'm'")
    (tmp_path / "m" / "README").write_text("nobody misses it")
    (tmp_path / "net.keras").write_bytes(b"PK\x03\x04")
    (tmp_path / "README.md").write_text("nor this")
    result = scan(tmp_path)
    assert found(result, tmp_path) == {"m/1": "m/1/model.tflite"}
    told = reasons(result)
    assert set(told) == {"m/config.pbtxt", "m/2", "m/model.tflite", "net.keras"}
    assert told["m/2"] == "a file, where a version's folder is expected"
    assert told["m/model.tflite"] == "a model beside folders of versions"
    assert "see model.toml" in told["m/config.pbtxt"]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("model.tflite", b"", "the file is empty"),
        ("model.tflite", TFLITE.read_bytes()[:4], "a file that begins with"),
        ("model.onnx", (ROOT / "models" / "forecast.onnx").read_bytes()[:-99], "cut off"),
        ("model.pb", (ROOT / "models" / "rnn_ts_model.pb").read_bytes()[:-99], "cut off"),
        ("saved_model.pb", b"\x08\x01\x12\xff", ""),
        ("model.tflite", b"<!DOCTYPE html>", "an HTML page"),
        ("func.py", b"handler = 1", 'say model = "func.py:NAME" in model.toml'),
        ("own.py", b"", 'say model = "own.py:NAME" in model.toml'),
        ("a.pipeline.toml", b"", "pipelines are not served"),
        ("notes.txt", b"", "no model: expected"),
        ("a?signature=b.tflite", TFLITE.read_bytes(), "a name with ?signature= or #sha256= in it"),
        ("model.toml", b"model = 'absent.tflite'", "model.toml names absent.tflite, which is not"),
        ("model.toml", b"model = ", "cannot be read"),
        ("model.toml", b"modle = 'x'", "expected the name of a file beside it"),
        ("model.toml", b"#" * (1 << 21), "more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_whole_model(tmp_path: Path, file: str, content: bytes, told: str) -> None:
    for place in ("m/1", "single"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / file).write_bytes(content)
    result = scan(tmp_path)
    assert not result.models
    assert told in reasons(result)["m/1"]
    assert told in reasons(result)["single"]


def test_several_models_in_one_version(tmp_path: Path) -> None:
    put(tmp_path, "usual/1/model.tflite", "usual/1/other.tflite")
    put(tmp_path, "open/1/a.tflite", "open/1/b.tflite", "named/1/a.tflite", "named/1/b.tflite")
    (tmp_path / "named/1/model.toml").write_text('model = "b.tflite"\n')
    result = scan(tmp_path)
    assert found(result, tmp_path) == {
        "named/1": "named/1/b.tflite",
        "usual/1": "usual/1/model.tflite",
    }
    assert reasons(result) == {
        "open/1": "several models: a.tflite, b.tflite; say which in model.toml"
    }


# descriptions


def test_a_description_in_the_version(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.tflite", "m/2/model.tflite")
    (tmp_path / "m/1/model.toml").write_text(
        'model = "model.tflite"\nlabels = "names.txt"\ntitle = "First"\n'
        'serving = { warmup = ["a.npy"], max_batch = 8 }\n'
    )
    (tmp_path / "m/1/names.txt").write_text("cat\ndog\n", encoding="utf-8")
    (tmp_path / "m/1/a.npy").write_bytes(b"")
    first, second = scan(tmp_path).models["m"]
    assert first.description is not None
    assert (first.description.title, first.description.serving.max_batch) == ("First", 8)
    assert first.labels == ("cat", "dog")
    assert first.warmup == (str(tmp_path / "m/1/a.npy"),)
    assert (second.description, second.labels, second.warmup) == (None, (), ())


def test_classes_come_before_labels(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.tflite")
    (tmp_path / "m/1/model.toml").write_text(
        'model = "model.tflite"\nlabels = "names.txt"\nclasses = ["one", "two"]\n'
    )
    (tmp_path / "m/1/names.txt").write_text("cat\ndog\n", encoding="utf-8")
    assert scan(tmp_path).models["m"][0].labels == ("one", "two")
    opener = Opener({"m": str(tmp_path / "m/1/model.tflite")})
    assert opener.sources()[0].labels == ("one", "two")


def test_a_description_of_all_versions(tmp_path: Path) -> None:
    put(tmp_path, "m/1/net.tflite", "m/2/net.tflite", "m/3/net.tflite", "s/1/", "s/2/")
    (tmp_path / "m/model.toml").write_text('model = "net.tflite"\nlabels = "names.txt"\n')
    (tmp_path / "m/names.txt").write_text("cat\n")
    (tmp_path / "m/2/model.toml").write_text('model = "net.tflite"\ntitle = "Its own"\n')
    (tmp_path / "s/model.toml").write_text('model = "saved_model.pb"\ntitle = "Saved"\n')
    models = scan(tmp_path).models
    titles = [each.description and each.description.title for each in models["m"]]
    assert titles == ["", "Its own", ""]
    assert [each.labels for each in models["m"]] == [("cat",), (), ("cat",)]
    assert [each.description and each.description.title for each in models["s"]] == ["Saved"] * 2
    assert models["s"][0].uri == str(tmp_path / "s/1")


def test_a_description_beside_a_folder_is_of_that_version_alone(tmp_path: Path) -> None:
    """As `description_beside` has it."""
    put(tmp_path, "s/1/", "s/2/")
    (tmp_path / "s/model.toml").write_text('model = "2"\ntitle = "Second"\n')
    first, second = scan(tmp_path).models["s"]
    assert first.description is None
    assert second.description is not None
    assert second.description.title == "Second"


def test_a_plain_file_with_its_description(tmp_path: Path) -> None:
    put(tmp_path, "a.tflite", "b.tflite")
    (tmp_path / "model.toml").write_text('model = "b.tflite"\nlabels = "names.txt"\n')
    (tmp_path / "names.txt").write_text("cat\n")
    models = scan(tmp_path).models
    assert models["a"][0].description is None
    assert models["b"][0].labels == ("cat",)
    assert [name for name, *_ in models["b"][0].stamp] == [
        "../model.toml",
        "../names.txt",
        "b.tflite",
    ]


@pytest.mark.parametrize("place", ["m/1", "m", "."])
def test_a_function(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "own.py").write_text(DOUBLE)
    (tmp_path / place / "model.toml").write_text('model = "own.py:double"\n')
    (each,) = next(iter(scan(tmp_path).models.values()))
    assert each.uri == f"{(tmp_path / place / 'own.py').resolve()}:double"
    assert open_model(each.uri)({"x": 3})["output"] == 6


def test_a_function_file_of_ours_is_a_function_of_arrays(tmp_path: Path) -> None:
    """Where model.toml names it: its outputs have the names that the function gives them."""
    shutil.copytree(ROOT / "functions" / "forecast", tmp_path / "f/1")
    assert found(scan(tmp_path), tmp_path) == {"f/1": "f/1/forecast.tflite"}
    (tmp_path / "f/1/model.toml").write_text('model = "func.py:forecast"\n')
    ((each,),) = scan(tmp_path).models.values()
    model = open_model(each.uri)
    assert model({"series": [0.5] * 20})["forecast"].shape == (1, 20, 1)


def test_hashes_and_sizes_that_are_stated_hold(tmp_path: Path) -> None:
    put(tmp_path, "good/1/m.tflite", "bad/1/m.tflite", "long/1/m.tflite", "gone/1/m.tflite")
    sha256, size = hashlib.sha256(TFLITE.read_bytes()).hexdigest(), TFLITE.stat().st_size
    for name, line in (
        ("good", f'"m.tflite" = {{ sha256 = "{sha256}", size = {size} }}'),
        ("bad", f'"m.tflite" = {{ sha256 = "{"0" * 64}" }}'),
        ("long", f'"m.tflite" = {{ size = {size + 1} }}'),
        ("gone", '"weights.bin" = { size = 5 }'),
    ):
        text = f'model = "m.tflite"\n[files]\n{line}\n'
        (tmp_path / name / "1/model.toml").write_text(text)
    result = scan(tmp_path)
    assert set(result.models) == {"good"}
    told = reasons(result)
    assert told["bad/1"].startswith(f"m.tflite has sha256 {sha256}, expected 000")
    assert told["long/1"] == f"m.tflite has {size} bytes, expected {size + 1}"
    assert told["gone/1"] == "model.toml names weights.bin, which is not there"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('labels = "names.txt"', "model.toml names names.txt, which is not beside it"),
        ('serving.warmup = ["a.npy"]', "model.toml names a.npy, which is not beside it"),
        ('labels = "latin.txt"', "latin.txt: labels that are not UTF-8; save it as UTF-8"),
    ],
)
def test_what_a_description_names_has_to_be_there(tmp_path: Path, line: str, told: str) -> None:
    put(tmp_path, "m/1/m.tflite")
    (tmp_path / "m/1/latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "m/1/model.toml").write_text(f'model = "m.tflite"\n{line}\n')
    assert reasons(scan(tmp_path)) == {"m/1": told}


# names


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_names_of_models_fit_in_every_protocol(name: str) -> None:
    if is_model_name(name):
        assert name.isascii()
        assert not {*name} & {*"/\\ %?#:\0\n"}
        assert ".." not in name
        assert not name.startswith((".", "-"))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_characters="/\0", codec="utf-8"), min_size=1, max_size=30))
def test_any_name_of_a_folder_has_an_outcome(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    if name in (".", "..") or len(name.encode()) > 200:
        return
    folder = tmp_path_factory.mktemp("names")
    put(folder, f"{name}/1/model.tflite")
    result = scan(folder)
    hidden = name.startswith((".", "~", "#")) or folder_view.is_passing(name)
    if is_model_name(name) and not hidden:
        assert set(result.models) == {name}
    else:
        assert not result.models
        assert [each.path for each in result.ignored] == ([] if hidden else [escaped(name)])


def test_a_name_that_is_no_text_is_shown_as_text(tmp_path: Path) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9\n/1")
    (ignored,) = scan(tmp_path).ignored
    assert ignored.path == r"caf\udce9\n"
    assert ignored.path.isprintable()


# safety


def test_links(tmp_path: Path) -> None:
    put(tmp_path, "out/model.tflite", "out/saved/", "models/store/7/model.tflite")
    models = tmp_path / "models"
    for name in ("file", "folder", "inner", "broken", "loop", "within", "chain", "absolute"):
        (models / name / "1").mkdir(parents=True)
    (models / "file/1/model.tflite").symlink_to(tmp_path / "out/model.tflite")
    (models / "folder/2").symlink_to("../../out/saved")
    shutil.copytree(SAVED, models / "inner/1", dirs_exist_ok=True)
    shutil.rmtree(models / "inner/1/variables")
    (models / "inner/1/variables").symlink_to(tmp_path / "out/saved/variables")
    (models / "broken/1/model.tflite").symlink_to("nowhere")
    put(models, "loop/1/model.tflite")
    (models / "loop/1/again").symlink_to(".")
    (models / "within/1/model.tflite").symlink_to("../../store/7/model.tflite")
    (models / "hop").symlink_to(tmp_path / "out")
    (models / "chain/1/model.tflite").symlink_to("../../hop/model.tflite")
    (models / "absolute/1/model.tflite").symlink_to(models / "store/7/model.tflite")
    (models / "plain.tflite").symlink_to(tmp_path / "out/model.tflite")
    result = scan(models)
    assert found(result, models) == {
        "absolute/1": "absolute/1/model.tflite",
        "store/7": "store/7/model.tflite",
        "within/1": "within/1/model.tflite",
    }
    outside = "a link out of the models folder"
    told = reasons(result)
    assert told["file/1"] == told["chain/1"] == f"model.tflite: {outside}"
    assert told["folder/2"] == told["hop"] == told["plain.tflite"] == outside
    assert told["inner/1"] == f"variables: {outside}"
    assert told["broken/1"] == "model.tflite: a link that leads nowhere"
    assert told["loop/1"] == "again/again: a link to a folder that it lies in"


def test_a_folder_of_kubernetes(tmp_path: Path) -> None:
    """Its volumes are links to ``..data``, a link to a folder that is replaced as a whole."""
    put(tmp_path, "..2026_1/m/1/model.tflite", "..2026_1/plain.tflite")
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "m").symlink_to("..data/m")
    (tmp_path / "plain.tflite").symlink_to("..data/plain.tflite")
    tmp_path.chmod(0o777)
    before = scan(tmp_path)
    assert found(before, tmp_path) == {"m/1": "m/1/model.tflite", "plain/1": "plain.tflite"}
    shutil.copytree(tmp_path / "..2026_1", tmp_path / "..2026_2")
    (tmp_path / "..next").symlink_to("..2026_2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    after = scan(tmp_path)
    assert found(after, tmp_path) == found(before, tmp_path)
    for name in ("m", "plain"):
        assert after.models[name][0].stamp != before.models[name][0].stamp


def test_what_every_user_may_write_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "file/1/model.tflite", "folder/1/model.tflite", "top/1/model.tflite", "p.tflite")
    put(tmp_path, "group/1/model.tflite")
    (tmp_path / "file/1/model.tflite").chmod(0o666)
    (tmp_path / "p.tflite").chmod(0o646)
    (tmp_path / "folder/1").chmod(0o777)
    (tmp_path / "top").chmod(0o757)
    (tmp_path / "group/1").chmod(0o775)
    result = scan(tmp_path)
    assert set(result.models) == {"group"}
    wrong = "every user may write it: chmod o-w"
    assert reasons(result) == {
        "file/1": f"model.tflite: {wrong}",
        "folder/1": wrong,
        "p.tflite": wrong,
        "top": wrong,
    }


def test_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's, ours, and those of the owner of the folder; not a third one's."""
    put(tmp_path, "m/1/model.tflite", "p.tflite")
    put(tmp_path, "n/1/model.tflite")
    mine = os.stat(tmp_path).st_uid
    theirs = {str(tmp_path / "m/1/model.tflite"): mine + 5, str(tmp_path / "p.tflite"): mine + 5}
    judged = folder_view.FolderView._refusal

    def refusal(self: folder_view.FolderView, status: os.stat_result) -> str:
        uid = {os.stat(path).st_ino: uid for path, uid in theirs.items()}.get(status.st_ino, mine)
        return judged(self, os.stat_result([*status[:4], uid, *status[5:]]))

    monkeypatch.setattr(folder_view.FolderView, "_refusal", refusal)
    result = scan(tmp_path)
    assert set(result.models) == {"n"}
    told = f"it belongs to user {mine + 5}, who does not own the models folder"
    assert reasons(result) == {"m/1": f"model.tflite: {told}", "p.tflite": told}


@pytest.mark.parametrize("place", ["m/1/model.tflite", "m/1/extra", "plain.tflite"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, place: str) -> None:
    put(tmp_path, "m/2/model.tflite")
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / place)
    result = scan(tmp_path)
    assert found(result, tmp_path) == {"m/2": "m/2/model.tflite"}
    assert "neither a regular file nor a folder" in next(iter(reasons(result).values()))


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "few/1/model.tflite", "many/1/model.tflite", "deep/1/model.tflite")
    for number in range(12):
        (tmp_path / "many/1" / f"{number}.txt").write_text("")
    (tmp_path / "deep/1" / "/".join("a" * 20)).mkdir(parents=True)
    monkeypatch.setattr(folder_view, "_MOST", 10)
    result = scan(tmp_path)
    assert set(result.models) == {"few"}
    assert reasons(result) == {
        "many/1": "more than 10 entries",
        "deep/1": "folders more than 16 deep",
    }
    monkeypatch.setattr(folder_view, "_MOST_IN_ALL", 20)
    with pytest.raises(SetupError, match="models-dir: more than 20 entries"):
        scan(tmp_path)
    monkeypatch.setattr(folder_view, "_MOST", 2)
    with pytest.raises(SetupError, match="models-dir: more than 2 entries: /"):
        scan(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="models-dir: No such file or directory: "):
        scan(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="models-dir: not a folder: "):
        scan(tmp_path / "file")


def test_a_thousand_models_are_found_in_half_a_second(tmp_path: Path) -> None:
    put(tmp_path, "m0/1/model.tflite")
    for number in range(1, 1000):
        folder = tmp_path / f"m{number}/1"
        folder.mkdir(parents=True)
        os.link(tmp_path / "m0/1/model.tflite", folder / "model.tflite")
    best = 9.0
    for _ in range(3):
        began = time.process_time()
        assert len(scan(tmp_path).models) == 1000
        best = min(best, time.process_time() - began)
    assert best < 0.5


# looks


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, Callable[[], Changes]]:
    """A folder, and a look at it a second after the one before."""
    clock = Clock()
    folder = tmp_path / "models"
    folder.mkdir()
    watch = FolderWatch(folder, settle=1.0, clock=clock)

    def look() -> Changes:
        clock.now += 1.0
        return watch.look()

    return folder, look


Watched = tuple[Path, Callable[[], Changes]]


def told(changes: Changes) -> tuple[list[str], list[str], list[str]]:
    return (
        [f"{each.name}/{each.version}" for each in changes.added],
        [f"{each.name}/{each.version}" for each in changes.changed],
        ["/".join(each) for each in changes.removed],
    )


def test_a_version_comes_changes_and_goes(watched: Watched) -> None:
    folder, look = watched
    put(folder, "m/1/model.tflite")
    first = look()
    assert (told(first), first.unsettled) == (([], [], []), True)
    assert told(look()) == (["m/1"], [], [])
    assert look() == Changes()
    put(folder, "m/2/model.tflite")
    look()
    assert told(look()) == (["m/2"], [], [])
    put(folder, "m/1/model.tflite")
    assert told(look()) == ([], [], [])
    assert told(look()) == ([], ["m/1"], [])
    shutil.rmtree(folder / "m/1")
    gone = look()
    assert (told(gone), gone.unsettled) == (([], [], []), True)
    assert told(look()) == ([], [], ["m/1"])
    assert look() == Changes()
    shutil.rmtree(folder / "m")
    look()
    assert told(look()) == ([], [], ["m/2"])


def test_what_was_there_long_ago_is_taken_at_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, look = watched
    put(folder, "m/1/model.tflite")
    later = time.time() + 100
    monkeypatch.setattr("gpfn.serving.folder_watch.time", lambda: later)
    assert told(look()) == (["m/1"], [], [])


def test_files_that_are_still_written_are_waited_for(watched: Watched) -> None:
    folder, look = watched
    (folder / "m/1").mkdir(parents=True)
    whole = TFLITE.read_bytes()
    with (folder / "m/1/model.tflite").open("wb") as file:
        for at in range(0, len(whole), 10_000):
            file.write(whole[at : at + 10_000])
            file.flush()
            assert told(look()) == ([], [], [])
    assert told(look()) == (["m/1"], [], [])


def test_weights_that_are_copied_late_never_serve_garbage(watched: Watched) -> None:
    """TR#2076, tensorflow#20635: the version before serves until the new one is whole."""
    folder, look = watched
    put(folder, "m/1/")
    weights = folder / "m/1/variables/variables.data-00000-of-00001"
    kept = weights.read_bytes()
    look()
    assert told(look()) == (["m/1"], [], [])
    shutil.copy(SAVED / "saved_model.pb", folder / "m/1/saved_model.pb")
    weights.write_bytes(kept[:100])
    assert told(look()) == ([], [], []), "still being written"
    weights.write_bytes(kept)
    assert told(look()) == ([], [], [])
    (changed,) = look().changed
    assert open_model(changed.uri).inputs[0].name == "series"


def test_a_late_file_of_an_onnx_model(watched: Watched, tmp_path: Path) -> None:
    folder, look = watched
    model = onnx.load(str(ROOT / "models" / "forecast.onnx"))
    (folder / "m/1").mkdir(parents=True)
    path = folder / "m/1/model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    (folder / "m/1/w.bin").rename(tmp_path / "w.bin")
    look()
    changes = look()
    assert told(changes) == ([], [], [])
    assert "needs the file 'w.bin' beside it" in reasons(changes)["m/1"]
    (tmp_path / "w.bin").rename(folder / "m/1/w.bin")
    look()
    assert told(look()) == (["m/1"], [], [])


@pytest.mark.parametrize("wrong", ["cut", "empty", "toml", "labels", "link", "mode", "moved"])
def test_what_is_served_stays_while_its_files_are_wrong(
    watched: Watched, tmp_path: Path, wrong: str
) -> None:
    folder, look = watched
    put(folder, "m/1/model.tflite", "n/1/model.tflite")
    (folder / "m/1/model.toml").write_text('model = "model.tflite"\nlabels = "l.txt"\n')
    (folder / "m/1/l.txt").write_text("cat\n")
    look()
    assert told(look()) == (["m/1", "n/1"], [], [])
    model, toml = folder / "m/1/model.tflite", folder / "m/1/model.toml"
    match wrong:
        case "cut":
            model.write_bytes(b"\x1c\0\0\0TFL")
        case "empty":
            model.write_bytes(b"")
        case "toml":
            toml.write_text("model = ")
        case "labels":
            (folder / "m/1/l.txt").unlink()
        case "link":
            shutil.move(model, tmp_path / "x")
            model.symlink_to(tmp_path / "x")
        case "mode":
            (folder / "m").chmod(0o777)
        case "moved":
            toml.write_text('model = "another.tflite"\n')
    for _ in range(4):
        changes = look()
        assert told(changes) == ([], [], [])
    assert next(iter(reasons(changes))).startswith("m")
    shutil.rmtree(folder / "m")
    look()
    assert told(look()) == ([], [], ["m/1"])


@pytest.mark.parametrize("left", ["nothing", "README", "model.toml", "config.pbtxt"])
def test_a_version_without_its_model_has_gone(watched: Watched, left: str) -> None:
    folder, look = watched
    put(folder, "m/1/model.tflite", "s/model.tflite", "p.tflite")
    look()
    assert told(look()) == (["m/1", "p/1", "s/1"], [], [])
    for place in ("m", "s"):
        shutil.rmtree(folder / place)
        (folder / place).mkdir()
        if left != "nothing":
            (folder / place / left).write_text('model = "model.tflite"\n')
    (folder / "p.tflite").unlink()
    assert sorted(each for _ in range(4) for each in told(look())[2]) == ["m/1", "p/1", "s/1"]


def test_a_folder_that_is_not_there_for_a_while_removes_nothing(watched: Watched) -> None:
    folder, look = watched
    put(folder, "m/1/model.tflite")
    look()
    look()
    folder.rename(folder.with_name("away"))
    for _ in range(3):
        with pytest.raises(SetupError, match="models-dir"):
            look()
    folder.with_name("away").rename(folder)
    assert look() == Changes()


def test_a_refused_version_is_examined_once_for_each_state(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, look = watched
    (folder / "m/1").mkdir(parents=True)
    (folder / "m/1/model.tflite").write_bytes(b"junk")
    look()
    refused = look().ignored
    assert [each.path for each in refused] == ["m/1"]
    monkeypatch.setattr("gpfn.serving.folder_watch.examine", lambda _: pytest.fail("once more"))
    assert look().ignored == refused


PLACES = [
    f"{folder}{file}"
    for folder in ("m/1/", "m/2/", "m/", "n/007/", "")
    for file in ("model.tflite", "other.tflite", "model.toml", "own.py")
]
CONTENTS: dict[str, bytes] = {
    "model": TFLITE.read_bytes(),
    "junk": b"junk",
    "empty": b"",
    "toml": b'model = "model.tflite"\n',
    "python": b'model = "own.py:double"\n',
}
STEP = st.one_of(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(list(CONTENTS))),
    st.tuples(st.sampled_from([*PLACES, "m", "m/1", "n"]), st.just("remove")),
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["link", "writable"])),
    st.just(("", "look")),
)


def change(folder: Path, place: str, what: str) -> None:
    path = folder / place
    if what == "remove" and path.is_dir():
        shutil.rmtree(path)
    elif what in ("remove", "link"):
        path.unlink(missing_ok=True)
    if what == "writable" and path.is_file() and not path.is_symlink():
        path.chmod(0o666)
    elif what not in ("remove", "writable"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "link":
            path.symlink_to("/dev/null")
        else:
            path.unlink(missing_ok=True)
            path.write_bytes(CONTENTS[what])


@settings(max_examples=80, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_looks_end_at_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    """Whatever happened: what is told is what a scan finds, and what is kept is explained."""
    folder, clock = tmp_path_factory.mktemp("models"), Clock()
    watch = FolderWatch(folder, clock=clock)
    served: dict[tuple[str, str], object] = {}

    def look() -> Changes:
        clock.now += 1.0
        changes = watch.look()
        for each in changes.added:
            assert served.setdefault((each.name, each.version), each.stamp) is each.stamp
        for each in changes.changed:
            assert served[each.name, each.version] != each.stamp
            served[each.name, each.version] = each.stamp
        for key in changes.removed:
            del served[key]
        return changes

    for place, what in steps:
        if what == "look":
            look()
        else:
            change(folder, place, what)
    last = [look() for _ in range(3)][-1]
    assert not last.unsettled
    result = scan(folder)
    there = {(v.name, v.version): v.stamp for each in result.models.values() for v in each}
    assert {key: served.get(key) for key in there} == there
    explained = {(each.name, each.version) for each in result.ignored}
    for name, version in served.keys() - there.keys():
        assert {(name, version), (name, "")} & explained
    assert last.ignored == result.ignored


def test_what_was_forgotten_is_told_again(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.tflite", "n/1/model.tflite")
    watch = FolderWatch(tmp_path, settle=0)
    assert told(watch.look()) == (["m/1", "n/1"], [], [])
    watch.forget("m")
    assert told(watch.look()) == (["m/1"], [], [])


def test_running_a_function_changes_nothing(watched: Watched) -> None:
    """What Python writes beside it would have it loaded for ever."""
    folder, look = watched
    put(folder, "m/1/x.txt")
    (folder / "m/1/own.py").write_text(DOUBLE)
    (folder / "m/1/model.toml").write_text('model = "own.py:double"\n')
    look()
    (each,) = look().added
    open_model(each.uri)
    (folder / "m/1/__pycache__").mkdir(exist_ok=True)
    (folder / "m/1/__pycache__/own.pyc").write_bytes(b"x")
    look()
    assert look() == Changes()


def test_files_that_vanish_during_a_look(tmp_path: Path) -> None:
    """Versions come and go while the folder is looked at: no error, and the rest is found."""
    put(tmp_path, *(f"still{number}/1/model.tflite" for number in range(5)))
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for number in range(10):
                put(tmp_path, f"moving{number}/1/model.tflite", f"moving{number}.tflite")
            for number in range(10):
                shutil.rmtree(tmp_path / f"moving{number}")
                (tmp_path / f"moving{number}.tflite").unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert {f"still{number}" for number in range(5)} <= set(scan(tmp_path).models)
    finally:
        stop.set()
        thread.join()


def test_a_survey_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.tflite").write_bytes(b"junk")
    survey = Survey(tmp_path)
    assert [each.shown for each in survey.candidates] == ["m/1"]
    assert not survey.ignored


def test_errors_are_ours() -> None:
    with pytest.raises(GpfnError):
        scan("\0")

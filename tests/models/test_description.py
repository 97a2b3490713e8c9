"""Descriptions of models: the reader and the JSON Schema say the same of every sample."""

import copy
import json
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput
from gpfn.models import open_model
from gpfn.models.branches import BranchInput, BranchMapping, Pick
from gpfn.models.catalogue import default_catalogue, parse_catalogue
from gpfn.models.columns import Column
from gpfn.models.description import (
    FILE_NAME,
    Description,
    ModelFile,
    Serving,
    Signature,
    description_beside,
    parse_description,
    read_description,
)
from gpfn.models.scoring import Scoring
from gpfn.models.toml_table import Table, toml_text
from gpfn.tensors.spec import TensorSpec
from tests.conftest import ROOT

SCHEMA = json.loads((ROOT / "docs" / "model.schema.json").read_text())
MODEL = Draft202012Validator(SCHEMA)
CATALOGUE = Draft202012Validator({"$ref": "#/$defs/catalogue", "$defs": SCHEMA["$defs"]})

FULL = """
title = "A tiny model"
description = "It is for tests."
licence = "MIT"
source = "https://example.com/tiny"
aliases = ["small", "tiny-1"]
model = "tiny.tflite"
labels = "tiny.txt"
classes = ["no", "yes"]
signature.inputs.image = { dtype = "float32", shape = [-1, 8, 9, 3] }
signature.outputs."a/b:0" = { dtype = "string" }

[image]
height = 8
width = 9
channels = "RGB"
layout = "NHWC"
quantised = false
fit = "crop"
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 128]

[serving]
max_batch = 64
max_delay = 0.002
replicas = 2
processes = true
threads = 1
queue = 0
timeout = 5
warmup = ["night.json", "day.npy"]
keep = 2
tags = { stable = 3 }

[[columns]]
name = "post code"
dtype = "string"
default = "00000"
missing = ["?", "n/a"]

[[columns]]
name = "age"
[scores]
output = "a/b:0"
softmax = false
sigmoid = true
multilabel = true
threshold = 0.25

[branches]
tree = ["Events", "tree"]
padding = -1
inputs = ["Jet_pt[0:2]", { branch = ["PuppiMET_pt", "MET_pt"], padding = -2 }, "count(Jet_pt)"]

[files."tiny.tflite"]
url = "https://example.com/tiny.tflite"
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
size = 3

[files."tiny.txt"]
"""
"""A description with every key that there is."""

SHORT = 'model = "tiny.tflite"\n'

GOOD = {
    "full": FULL,
    "short": SHORT,
    "a URL without a hash": SHORT + 'files."tiny.tflite".url = "https://example.com/t"\n',
    "a hash without a URL": SHORT + f'files."tiny.tflite".sha256 = "{"b" * 64}"\n',
    "a scalar": SHORT + 'signature.inputs.x = { dtype = "bool", shape = [] }\n',
    "a function": 'model = "tiny.py:double"\n',
    "columns": SHORT
    + 'columns = [{ name = "a", default = 1 }, { name = "b", default = nan }, { name = "c", '
    "default = false }]\n",
    "no columns": SHORT + "columns = []\nclasses = []\n",
    "an empty table": SHORT + "serving = {}\n",
    "never batched": SHORT + "serving = { max_batch = 0, max_delay = 0 }\n",
    "quantised": SHORT
    + 'image = { height = 1, width = 1, channels = "L", layout = "NCHW", quantised = true, '
    'fit = "stretch" }\n',
}

WRONG_BRANCHES = (
    *("1", "''", "[]", "['x', 1]", "['x', 'x']", "'x[]'", "'x[:8]'", "'x[0:]'", "'x[-1]'"),
    *("'x[-2:0]'", "'x[1.5]'", "'x[0:2:1]'", "'x[0][1]'", "'count()'", "'sum(x)'", "'[0:2]'"),
    "'x[0:99999999999999999999]'",
)

BAD = {
    "model": [
        'model = ""',
        "model = 1",
        'model = "a/b"',
        'model = ".hidden"',
        'model = "m.tflite:f"',
        'model = "m.py:"',
        'model = "m.py:f.g"',
        'model = "../m.py:f"',
        'title = "no model"',
    ],
    "title": ['title = ""', "title = 1"],
    "description": ["description = []", "description = ''"],
    "licence": ['licence = ""'],
    "source": ["source = {}"],
    "aliases": ["aliases = 'x'", "aliases = ['a b']", "aliases = ['a', 'a']", "aliases = [1]"],
    "labels": ["labels = 'a/b'", "labels = ''", "labels = 5"],
    "colour": ["colour = {}"],
    "classes": ["classes = 'x'", "classes = ['']", "classes = ['a', 'a']", "classes = [1]"],
    "columns": ["columns = {}", "columns = 'age'"],
    "columns[0]": ["columns = ['age']"],
    "columns[0].name": ["columns = [{}]", "columns = [{ name = '' }]"],
    "columns[0].dtype": ["columns = [{ name = 'age', dtype = 'int' }]"],
    "columns[1].default": [
        "columns = [{ name = 'a' }, { name = 'b', default = [] }]",
        "columns = [{ name = 'a' }, { name = 'b', default = {} }]",
    ],
    "columns[0].missing": [
        "columns = [{ name = 'a', missing = '?' }]",
        "columns = [{ name = 'a', missing = [''] }]",
    ],
    "columns[0].unit": ["columns = [{ name = 'a', unit = 'm' }]"],
    "serving": ["serving = 1"],
    "serving.max_batch": [f"serving.max_batch = {each}" for each in ("-1", "65537", "1.5", "true")],
    "serving.max_delay": [f"serving.max_delay = {each}" for each in ("-0.1", "61", "'1s'", "inf")],
    "serving.replicas": ["serving.replicas = 0", "serving.replicas = 1025"],
    "serving.processes": ["serving.processes = 2", "serving.processes = 'yes'"],
    "serving.threads": ["serving.threads = 0", "serving.threads = 'auto'"],
    "serving.queue": ["serving.queue = -1", "serving.queue = 1_000_001"],
    "serving.timeout": [f"serving.timeout = {each}" for each in ("0", "false", "86401", "-inf")],
    "serving.warmup": [
        "serving.warmup = 'day.npy'",
        "serving.warmup = ['day.csv']",
        "serving.warmup = ['../day.npy']",
        "serving.warmup = ['.npy']",
        "serving.warmup = ['a.npy', 'a.npy']",
    ],
    "serving.keep": ["serving.keep = 0", "serving.keep = 1001"],
    "serving.tags.stable": ["serving.tags.stable = 0", "serving.tags.stable = 'new'"],
    "serving.max_body": ["serving.max_body = 1"],
    "branches": ["branches = []"],
    "branches.tree": ["branches = { tree = '', inputs = ['x'] }", "branches.tree = 1"],
    "branches.inputs": ["branches = {}", "branches.inputs = []", "branches.inputs = 'x'"],
    "branches.padding": ["branches = { inputs = ['x'], padding = '0' }"],
    "branches.colour": ["branches = { inputs = ['x'], colour = 1 }"],
    "branches.inputs[0]": [f"branches.inputs = [{each}]" for each in WRONG_BRANCHES],
    "branches.inputs[1].branch": ["branches.inputs = ['x', { padding = 1 }]"],
    "branches.inputs[1].padding": ["branches.inputs = ['x', { branch = 'y', padding = true }]"],
    "branches.inputs[0].unit": ["branches.inputs = [{ branch = 'y', unit = 'm' }]"],
    "scores": ["scores = true"],
    "scores.output": ["scores.output = ''", "scores.output = 1"],
    "scores.softmax": [
        "scores.softmax = 1",
        "scores = { softmax = true, sigmoid = true }",
        "scores = { softmax = true, multilabel = true }",
    ],
    "scores.threshold": [f"scores.threshold = {each}" for each in ("-0.1", "1.5", "'x'", "true")],
    "scores.top": ["scores.top = 3"],
    "files": ["files = []"],
    "files.tiny": ["files.tiny = 5"],
    'files."a b"': ["files.'a b' = {}"],
    "files.tiny.mode": ["files.tiny.mode = 644"],
    "files.tiny.url": [
        "files.tiny.url = 'http://example.com/x'",
        "files.tiny.url = 'https://x'",
        "files.tiny.url = ''",
    ],
    "files.tiny.sha256": [f"files.tiny.sha256 = '{'B' * 64}'", "files.tiny.sha256 = 'b'"],
    "files.tiny.size": ["files.tiny.size = -1", "files.tiny.size = true", "files.tiny.size = 1.5"],
    "signature": ["signature = 1"],
    "signature.name": ["signature.name = 'x'"],
    "signature.inputs": ["signature.inputs = ['x']"],
    "signature.inputs.x": ["signature.inputs.x = 'float32'"],
    "signature.inputs.x.dtype": [
        "signature.inputs.x.dtype = 'FP32'",
        "signature.inputs.x = { shape = [1] }",
    ],
    "signature.inputs.x.shape": [
        "signature.inputs.x = { dtype = 'bool', shape = [0] }",
        "signature.inputs.x = { dtype = 'bool', shape = [-2] }",
        "signature.inputs.x = { dtype = 'bool', shape = ['n'] }",
        "signature.inputs.x = { dtype = 'bool', shape = [true] }",
        "signature.inputs.x = { dtype = 'bool', shape = 3 }",
    ],
    "signature.inputs.x.unit": ["signature.inputs.x = { dtype = 'bool', unit = 'm' }"],
}
"""By the field that is told: lines that make a short description wrong."""

IMAGE = {
    "image.height": [0, True, 1.5, "8"],
    "image.width": [-1, None],
    "image.channels": ["RGBA", 5, ["RGB"]],
    "image.layout": ["HWC"],
    "image.quantised": [1],
    "image.fit": ["squeeze"],
    "image.resize": [1.5, "big", -1],
    "image.resample": ["area", 1],
    "image.unit": [1, "yes"],
    "image.mean": [[1.0], [1, 2, "3"], "1", True, None],
    "image.std": [[1, True, 3], [1, 0, 3], [1, 2, 3, 4], [0.2, 0.2, 0.2], 0, None],
    "image.colour": ["red"],
}
"""By the field that is told: values that make the image of a full description wrong."""


def read(document: dict[str, Any]) -> Description:
    return parse_description("", Table(document), folder="", complete=False)


def bad() -> Iterator[Any]:
    for field, lines in BAD.items():
        for line in lines:
            short = "" if "model" in line.split("=")[0] or "no model" in line else SHORT
            yield pytest.param(tomllib.loads(short + line), field, id=line)
    for field, values in IMAGE.items():
        for value in values:
            document = tomllib.loads(FULL)
            key = field.partition(".")[2]
            if value is None:
                del document["image"][key]
            else:
                document["image"][key] = value
            yield pytest.param(document, field, id=f"{field}={value}")


IMAGES = {
    "size = 8": (8, 8),
    "size = [8, 9]\ncrop = 'none'": (8, 9),
    "height = 8\nwidth = 9": (8, 9),
    "size = [8, 9]\nchannels = 'first'\ncrop = 'center'\nmean = 127.5\nstd = 127.5": (8, 9),
    "size = 8\nmean = [0, 0, 0]\nstd = 1": (8, 8),
    "size = 8\nchannels = 'L'\nmean = [0]\nstd = [1]": (8, 8),
    "size = 8\nunit = true": (8, 8),
    "size = 8\nunit = true\nquantised = false": (8, 8),
    "size = 8\nunit = true\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]": (8, 8),
    "size = 8\nunit = false\nmean = 0\nstd = 0.5": (8, 8),
    "size = [224, 224]\nresize = 256\nresample = 'bicubic'": (224, 224),
    "height = 8": "width",
    "size = 8\nheight = 8": "height",
    "size = [8, 8, 8]": "size",
    "size = '8'": "size",
    "size = 0": "size",
    "size = 8\nchannels = 'first'\nlayout = 'NCHW'": "layout",
    "size = 8\ncrop = 'left'": "crop",
    "size = 8\ncrop = 'center'\nfit = 'crop'": "fit",
    "size = 8\nresize = 9\nfit = 'stretch'": "resize",
    "size = 8\nresize = 9\ncrop = 'none'": "resize",
    "size = 8\nmean = 1": "std",
    "size = 8\nstd = 2": "mean",
    "size = 8\nquantised = false": "mean",
    "size = 8\nquantised = true\nmean = 1\nstd = 2": "mean",
    "size = 8\nquantised = true\nunit = true": "unit",
    "size = 8\nmean = 0.5\nstd = 0.5": "std",
    "size = 8\nmean = 0.5\nstd = [0.5, -0.5, 0.5]": "std",
    "size = 8\nmean = 1\nstd = 0": "std",
    "size = 8\nchannels = 'L'\nmean = [1, 2, 3]\nstd = 2": "mean",
}
"""Image tables: the size that they say, or the key that is wrong."""


@pytest.mark.parametrize(("text", "told"), IMAGES.items())
def test_images_in_short(text: str, told: tuple[int, int] | str) -> None:
    document = tomllib.loads(f"{SHORT}[image]\n{text}\n")
    if isinstance(told, tuple):
        assert not list(MODEL.iter_errors(document))
        found = read(document).image
        assert found is not None
        assert found[:2] == told
        return
    assert list(MODEL.iter_errors(document)), "the schema allows it"
    with pytest.raises(SetupError) as caught:
        read(document)
    assert caught.value.field == f"image.{told}"


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_good_samples(text: str) -> None:
    document = tomllib.loads(text)
    assert not list(MODEL.iter_errors(document))
    assert read(document).model.name.partition(".")[0] == "tiny"


@pytest.mark.parametrize(("document", "field"), list(bad()))
def test_bad_samples(document: dict[str, Any], field: str) -> None:
    assert list(MODEL.iter_errors(document)), "the schema allows it"
    with pytest.raises(SetupError) as caught:
        read(document)
    assert caught.value.field == field


def test_a_full_description() -> None:
    model = ModelFile("tiny.tflite", "a" * 64, 3, "https://example.com/tiny.tflite")
    labels = ModelFile("tiny.txt")
    assert read(tomllib.loads(FULL)) == Description(
        name="tiny",
        model=model,
        files=(model, labels),
        title="A tiny model",
        description="It is for tests.",
        licence="MIT",
        source="https://example.com/tiny",
        aliases=("small", "tiny-1"),
        labels=labels,
        signature=Signature(
            (TensorSpec("float32", (None, 8, 9, 3), "image"),),
            (TensorSpec("string", None, "a/b:0"),),
        ),
        image=ImageInput(8, 9, quantised=False, fit="crop", mean=127.5, std=(127.5, 127.5, 128.0)),
        serving=Serving(
            64, 0.002, 2, True, 1, 0, 5.0, ("night.json", "day.npy"), 2, (("stable", "3"),)
        ),
        columns=(Column("post code", "string", "00000", ("?", "n/a")), Column("age")),
        classes=("no", "yes"),
        scores=Scoring("a/b:0", sigmoid=True, multilabel=True, threshold=0.25),
        branches=BranchMapping(
            (
                BranchInput((Pick("Jet_pt", 0, 2),), -1.0, "branches.inputs[0]"),
                BranchInput(
                    (Pick("PuppiMET_pt"), Pick("MET_pt")), -2.0, "branches.inputs[1].branch"
                ),
                BranchInput((Pick("Jet_pt", counted=True),), -1.0, "branches.inputs[2]"),
            ),
            ("Events", "tree"),
        ),
    )


def test_the_schema_has_the_keys_that_the_reader_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {}
    end = Table.end

    def ended(table: Table) -> None:
        top, _, inner = table.path.partition(".")
        asked[f"{top}.*" if inner else top] = set(table.asked)
        end(table)

    monkeypatch.setattr(Table, "end", ended)
    read(tomllib.loads(FULL))
    known = {name: set(SCHEMA["$defs"][name].get("properties", ())) for name in SCHEMA["$defs"]}
    assert asked == {
        "": known["description"] - {"folder"},  # a catalogue's alone
        "files.*": known["file"],
        "signature": known["signature"],
        "signature.*": known["tensor"],
        "image": known["image"],
        "serving": known["serving"],
        "columns[0]": known["column"],
        "columns[1]": known["column"],
        "scores": known["scores"],
        "branches": known["branches"],
        "branches.*": known["branch"],
    }
    assert not set(Description._fields) - known["description"] - {"name", "function"}
    assert set(Serving._fields) == known["serving"]
    assert set(Column._fields) == known["column"]


def test_our_catalogue_obeys_the_schema(root: Path) -> None:
    document = tomllib.loads((root / "models" / "catalogue.toml").read_text())
    assert not list(CATALOGUE.iter_errors(document))


def test_a_catalogue_has_to_say_more() -> None:
    """What may be left out of a model.toml is required in a catalogue, by both."""
    full = tomllib.loads(FULL)
    assert not list(CATALOGUE.iter_errors({"models": {"tiny": full}}))
    parse_catalogue({"models": {"tiny": full}})
    for path in ("title", "licence", "source", "model", "files", "files/tiny.tflite/sha256",
                 "files/tiny.tflite/size"):  # fmt: skip
        document = copy.deepcopy(full)
        *parents, last = path.split("/")
        table = document
        for key in parents:
            table = table[key]
        del table[last]
        assert list(CATALOGUE.iter_errors({"models": {"tiny": document}})), path
        with pytest.raises(SetupError):
            parse_catalogue({"models": {"tiny": document}})
        if path != "model":
            assert not list(MODEL.iter_errors(document))
            read(document)


def test_a_catalogue_has_no_functions() -> None:
    document = tomllib.loads(FULL) | {"model": "tiny.py:double", "files": {"tiny.py": {}}}
    document["files"]["tiny.txt"] = {}
    read(document)
    assert list(CATALOGUE.iter_errors({"models": {"tiny": document}}))
    with pytest.raises(SetupError, match="expected the name of a file beside it"):
        parse_catalogue({"models": {"tiny": document}})


def test_what_a_catalogue_declares_is_what_its_models_have(shared: Path) -> None:
    for entry in default_catalogue():
        folder = entry.model.folder or str(shared / "data" / "models")
        model = open_model(f"{folder}/{entry.model.name}")
        assert Signature(model.inputs, model.outputs) == entry.signature, entry.name


def test_a_file_beside_the_model(tmp_path: Path) -> None:
    model = tmp_path / "tiny.tflite"
    assert description_beside(model) is None
    (tmp_path / FILE_NAME).write_text(SHORT + 'labels = "tiny.txt"\n')
    found = description_beside(model)
    assert found is not None
    assert (found.name, found.labels) == ("tiny", ModelFile("tiny.txt", folder=str(tmp_path)))
    assert description_beside(tmp_path / "other.tflite") is None
    (tmp_path / FILE_NAME).write_text('model = "own.py:double"\n')
    found = description_beside(tmp_path / "own.py:double")
    assert found is not None
    assert (found.name, found.model.name, found.function) == ("own", "own.py", "double")
    assert found.serving == Serving()
    assert description_beside(tmp_path / "own.py:halve") is None
    (tmp_path / "folder").mkdir()
    (tmp_path / FILE_NAME).write_text('model = "folder"\n')
    assert description_beside(tmp_path / "folder") == read_description(tmp_path / FILE_NAME)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = 'm'\ncolour = {}\n", "colour: unknown key; known: aliases, branches, "),
        ("model = 'm'\ntitle = 5\n", "title: expected text, in "),
        ("model = [\n", ": cannot be read: "),
    ],
)
def test_a_mistake_names_the_key_and_the_file(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(text)
    with pytest.raises(SetupError) as caught:
        description_beside(tmp_path / "m")
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-2, 5),
    st.sampled_from([0.5, 127.5, -1.25]),
    st.sampled_from(
        [
            "",
            "x",
            "a/b",
            "a.npy",
            "m.py:f",
            "RGB",
            "L",
            "NCHW",
            "crop",
            "bool",
            "https://h/x",
            "f" * 64,
        ]
    ),
    st.lists(st.sampled_from([1, -1, 0, 2.5, "x", True]), max_size=4),
    st.sampled_from([{}, {"x": {}}, {"x": {"dtype": "bool"}}, {"dtype": "int8"}]),
)


def tables_of(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from tables_of(each)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_reader_and_schema_agree_on_any_change(data: st.DataObject) -> None:
    """One to three values of a full description are removed, added or replaced."""
    document = tomllib.loads(FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        table = data.draw(st.sampled_from(list(tables_of(document))))
        key = data.draw(st.sampled_from([*table, "x", "mean", "url", "shape", "keep"]))
        if data.draw(st.booleans()) and key in table:
            del table[key]
        else:
            table[key] = copy.deepcopy(data.draw(VALUES))
    allowed = not list(MODEL.iter_errors(document))
    with nullcontext() if allowed else pytest.raises(SetupError):
        read(document)


@pytest.mark.parametrize("text", ["a = " + "[" * 10_000, "a = " + "9" * 5000, "a = \xff", "[["])
def test_what_is_no_toml_is_told_with_the_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SetupError, match="cannot be read: ") as caught:
        read_description(file)
    assert caught.value.field == str(file)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_spelt_as_toml_reads_it(text: str) -> None:
    told = tomllib.loads(f"text = {toml_text(text)}")["text"]
    assert told == text.encode("utf-8", "replace").decode()

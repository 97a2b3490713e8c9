"""Pipeline files: the reader and the JSON Schema say the same of every sample."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gpfn.errors import SetupError
from gpfn.models.pipeline.reading import PipelineFile, parse_pipeline
from gpfn.models.pipeline.stage import PLACES, Stage
from gpfn.models.toml_table import Table
from tests.conftest import ROOT

SCHEMA = json.loads((ROOT / "docs" / "pipeline.schema.json").read_text())
VALID = Draft202012Validator(SCHEMA)
OURS = sorted((ROOT / "pipelines").glob("*.pipeline.toml"))

FULL = """
title = "All keys that there are"

[stages.first]
target = "first.onnx"
listen = "127.0.0.1:7001"
place = "hybrid"
parallel = 32
share = 0.5
least = 0.01
max_batch = 8
retries = 2
config = "http://127.0.0.1:7002"
settings.GPFN_IMAGE_INPUT = { height = 8, mean = [1, 2.5, 3] }
settings._other = "text"

[stages.second]
target = "http://127.0.0.1:7002"
listen = "[::1]:7002"
inputs = { image = "first.image", "a b" = "inputs.x y", all = "inputs" }

[stages.third]
target = "third"
inputs = "inputs"

[outputs]
score = "second"
"the rest" = "third.a.b:0"
"""

ONE = "[stages.a]\ntarget = 'x'\n"
TWO = ONE + "[stages.b]\ntarget = 'y'\n"

GOOD = {
    "full": FULL,
    "one stage": ONE,
    "two stages": TWO,
    "an empty table of inputs": ONE + "inputs = {}",
    "an empty table of settings": ONE + "settings = {}",
    "whole numbers": ONE + "share = 1\nleast = 0",
    "the most": ONE + "max_batch = 65536\nretries = 10\nparallel = 1024\nleast = 86400",
    "the least": ONE + "max_batch = 1\nretries = 0\nparallel = 1\nshare = 0.001",
    "a long name": f"[stages.{'a' * 64}]\ntarget = 'x'",
    "256 stages": "".join(f"[stages.s{number}]\ntarget = 'x'\n" for number in range(256)),
    **{place: ONE + f"place = '{place}'" for place in PLACES},
}

BAD = {
    "title": ["title = ''\n" + ONE, "title = 1\n" + ONE],
    "stages": ["", "stages = 1", "stages = {}", "title = 'no stages'",
               "".join(f"[stages.s{n}]\ntarget = 'x'\n" for n in range(257))],
    "stages.a": ["[stages]\na = 'x'"],
    "stages.inputs": ["[stages.inputs]\ntarget = 'x'"],
    "stages.outputs": ["[stages.outputs]\ntarget = 'x'"],
    'stages."a b"': ["[stages.'a b']\ntarget = 'x'"],
    "stages.-a": ["[stages.-a]\ntarget = 'x'"],
    f"stages.{'a' * 65}": [f"[stages.{'a' * 65}]\ntarget = 'x'"],
    "stages.a.target": ["[stages.a]", "[stages.a]\ntarget = ''", "[stages.a]\ntarget = 1"],
    "stages.a.inputs": [ONE + each for each in ("inputs = 1", "inputs = ''", "inputs = 'a b'",
                                                "inputs = 'outputs'", "inputs = 'b.y'",
                                                "inputs = ['a']")],
    "stages.a.inputs.x": [ONE + f"inputs.x = {each}" for each in ("1", "''", "'.y'", "'b.'")],
    "stages.a.share": [ONE + f"share = {each}" for each in ("0", "1.1", "'1'", "true", "inf")],
    "stages.a.least": [ONE + f"least = {each}" for each in ("-1", "86401", "'1 s'", "false")],
    "stages.a.max_batch": [ONE + f"max_batch = {each}" for each in ("0", "65537", "1.5", "true")],
    "stages.a.retries": [ONE + f"retries = {each}" for each in ("-1", "11", "'two'")],
    "stages.a.parallel": [ONE + f"parallel = {each}" for each in ("0", "1025", "false")],
    "stages.a.config": [ONE + "config = ''", ONE + "config = { next = 'http://h' }"],
    "stages.a.listen": [ONE + f"listen = {each}" for each in ("7001", "'7001'", "'a:b'", "''",
                                                              "'http://h:1'", "'h:123456'")],
    "stages.a.place": [ONE + "place = 'here'", ONE + "place = ''", ONE + "place = 1"],
    "stages.a.settings": [ONE + "settings = 'X=1'", ONE + "settings = []"],
    "stages.a.settings.X": [ONE + f"settings.X = {each}" for each in ("1", "''", "[]", "true")],
    "stages.a.settings.1X": [ONE + "settings.1X = 'x'"],
    'stages.a.settings."a b"': [ONE + "settings.'a b' = 'x'"],
    "stages.a.colour": [ONE + "colour = 'red'"],
    "outputs": ["outputs = 'a'\n" + ONE],
    "outputs.y": [ONE + f"[outputs]\ny = {each}" for each in ("1", "''", "'.y'", "'a.'")],
    "stage": ["[stage]\nx = 1\n" + ONE],
}  # fmt: skip
"""By the field that is told: documents that neither takes."""

GRAPHS = {
    "stages.a.inputs": [ONE + "inputs = 'b'", TWO.replace("'x'", "'x'\ninputs = 'b'")],
    "stages.a.inputs.x": [ONE + "inputs.x = 'b.y'"],
    "outputs.y": [ONE + "[outputs]\ny = 'b.y'"],
    "stages.a": [TWO + "inputs = 'inputs'"],
}
"""What only the reader can tell: stages that are not there, circles, what nobody takes."""


def read(document: dict[str, Any]) -> PipelineFile:
    return parse_pipeline(Table(document), name="made", folder="")


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_good_documents(text: str) -> None:
    document = tomllib.loads(text)
    assert not list(VALID.iter_errors(document))
    assert [stage.name for stage in read(document).stages] == list(tomllib.loads(text)["stages"])


@pytest.mark.parametrize(
    ("text", "field"),
    [pytest.param(text, field, id=f"{field} {n}") for field, texts in BAD.items()
     for n, text in enumerate(texts)],
)  # fmt: skip
def test_bad_documents(text: str, field: str) -> None:
    document = tomllib.loads(text)
    assert list(VALID.iter_errors(document)), "the schema allows it"
    with pytest.raises(SetupError) as caught:
        read(document)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "field"), [(text, field) for field, texts in GRAPHS.items() for text in texts]
)
def test_a_graph_that_cannot_be_run_is_the_readers_alone(text: str, field: str) -> None:
    document = tomllib.loads(text)
    assert not list(VALID.iter_errors(document))
    with pytest.raises(SetupError) as caught:
        read(document)
    assert caught.value.field == field


def test_our_files_obey_the_schema() -> None:
    assert len(OURS) >= 4
    for path in OURS:
        document = tomllib.loads(path.read_text())
        assert not list(VALID.iter_errors(document)), path.name
        assert read(document).stages


def test_the_schema_has_the_keys_that_the_reader_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {}
    end = Table.end

    def ended(table: Table) -> None:
        asked[table.path] = set(table.asked)
        end(table)

    monkeypatch.setattr(Table, "end", ended)
    read(tomllib.loads(FULL))
    stage = set(SCHEMA["$defs"]["stage"]["properties"])
    assert asked.pop("") == set(SCHEMA["properties"])
    assert asked == dict.fromkeys(("stages.first", "stages.second", "stages.third"), stage)
    assert stage == {*Stage._fields} - {"name", "takes", "owned"} | {"inputs"}


def test_the_schema_is_one_and_everything_in_it_is_told(root: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    stage = SCHEMA["$defs"]["stage"]["properties"]
    assert all(each["description"].endswith(".") for each in stage.values())
    assert stage["place"]["enum"] == list(PLACES)

"""Mappings of branches to a vector: what they say, and what is wrong with the others."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import SetupError
from gpfn.models.branches import BranchMapping, Pick, parse_branches, parse_pick
from gpfn.models.description import read_branches
from gpfn.models.toml_table import Table

FORTY_TWO = """
[branches]
tree = "Events"
inputs = [
  "Jet_pt[0:8]", "Jet_eta[0:8]", "Jet_phi[0:8]", "Jet_mass[0:8]",
  "Muon_pt[0:2]", "Muon_eta[0:2]", { branch = "Muon_phi[0:2]", padding = nan },
  ["PuppiMET_pt", "MET_pt"], "MET_phi", "nJet",
]
"""

TWICE = {
    '"x", "x"': "branches.inputs[1]: x is there twice, also at branches.inputs[0], in …",
    '"x[0:3]", "y", "x[2]"': "branches.inputs[2]: x[2] is there twice, …",
    '["x", "y"], { branch = "x" }': "branches.inputs[1].branch: x is there twice, …",
}

WRONG = {
    '"x[3:3]"': "inputs[0]: 'x[3:3]' has no value: the second number is the first one left out",
    '"x[0:0]"': "inputs[0]: 'x[0:0]' has no value",
    '"x[8:0]"': "inputs[0]: 'x[8:0]' has no value",
    '"x[-8:0]"': "a slice counts from 0 and has both ends",
    '"x[:8]"': "a slice counts from 0 and has both ends",
    '"x[0:65537]"': "'x[0:65537]' makes 65537 values, more than 65536",
    '"x[0:65536]", "y"': "branches.inputs: makes 65537 values, more than 65536",
    '["x", "x[0:2]"]': "each of several names has to make as many values as the others",
    '["x", "x"]': "has a name twice",
    '{ branch = "x", padding = 1e39 }': "inputs[0].padding: expected a number that a float32",
}


def write(folder: Path, inputs: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(f"[branches]\ninputs = [{inputs}]\n")
    return path


def read(folder: Path, inputs: str) -> BranchMapping:
    return read_branches(write(folder, inputs))


def test_what_a_mapping_says(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(FORTY_TWO)
    found = read_branches(path)
    assert found.width == 41
    assert found.tree == ("Events",)
    assert found.origin == str(path)
    assert found.names[:9] == [*(f"Jet_pt[{number}]" for number in range(8)), "Jet_eta[0]"]
    assert found.names[-3:] == ["PuppiMET_pt", "MET_phi", "nJet"]
    assert found.inputs[7].choices == (Pick("PuppiMET_pt"), Pick("MET_pt"))
    assert math.isnan(found.inputs[6].padding)
    assert found.inputs[5].padding == 0


def test_a_model_toml_is_a_mapping_too(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text(f'model = "higgs.tflite"\ntitle = "Higgs"\n{FORTY_TWO}')
    assert read_branches(path).width == 41


def test_other_names_of_branches(tmp_path: Path) -> None:
    found = read(tmp_path, '"Jet/Jet.PT[3]", "a b", "count(Jet.PT)"')
    assert [each.choices[0] for each in found.inputs] == [
        Pick("Jet/Jet.PT", 3, 4),
        Pick("a b"),
        Pick("Jet.PT", counted=True),
    ]
    assert found.names == ["Jet/Jet.PT[3]", "a b", "count(Jet.PT)"]
    assert found.width == 3


@pytest.mark.parametrize(("inputs", "told"), [*TWICE.items(), *WRONG.items()])
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, inputs: str, told: str) -> None:
    with pytest.raises(SetupError) as caught:
        read(tmp_path, inputs)
    assert told.rstrip("…") in str(caught.value)
    assert str(caught.value).endswith(f", in {tmp_path / 'mapping.toml'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "branches: there is no such table; it lists what the inputs are"),
        ('model = "x.onnx"\n', "branches: there is no such table"),
        ('inputs = ["x"]\n', "inputs: unknown key; known: branches"),
        ('[branches]\ninputs = ["x"]\n[other]\n', "other: unknown key; known: branches"),
        ("[branches\n", "cannot be read"),
        ('[branches]\ninputs = ["x"]\ninputs = ["y"]\n', "cannot be read"),
        ("[branches]\ninputs = 3\n", "branches.inputs: expected a list of branches"),
    ],
)
def test_files_that_are_no_mapping(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    with pytest.raises(SetupError) as caught:
        read_branches(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"mapping\.toml: cannot be read: No such file"):
        read_branches(tmp_path / "mapping.toml")


@given(st.text(st.sampled_from("ab_.(:)[0129]count "), max_size=20))
def test_any_text_is_an_input_or_an_error(text: str) -> None:
    pick = parse_pick(text)
    table = Table({"branches": {"inputs": [text]}})
    if pick is None or not 0 < pick.width <= 65536:
        with pytest.raises(SetupError, match=r"branches\.inputs"):
            parse_branches(table)
        return
    found = parse_branches(table)
    assert found is not None
    assert found.inputs[0].choices == (pick,)
    assert len(found.names) == found.width


@given(st.from_regex(r"[A-Za-z_.]{1,9}", fullmatch=True), st.integers(0, 99), st.integers(1, 9))
def test_a_value_is_asked_for_by_its_name(branch: str, start: int, width: int) -> None:
    for pick in (Pick(branch), Pick(branch, start, start + width), Pick(branch, counted=True)):
        assert len(pick.names) == pick.width
        for number, name in enumerate(pick.names):
            one = Pick(branch, start + number, start + number + 1) if pick.stop else pick
            assert parse_pick(name) == one

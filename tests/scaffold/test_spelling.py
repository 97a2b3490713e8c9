"""A tensor may be called anything: no name ends a string, a comment, a docstring or a table."""

import ast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gpfn import TensorSpec
from gpfn.scaffold.spelling import literal, plain, signature_lines, table_rows, yaml_name

TEXT = st.text(st.characters(exclude_categories=()))


@given(TEXT)
def test_a_literal_is_the_text_on_one_line(text: str) -> None:
    code = literal(text)
    assert ast.literal_eval(code) == text
    assert code.isprintable()


@given(TEXT)
def test_a_plain_name_ends_nothing(text: str) -> None:
    told = plain(text)
    assert len(told) <= 60
    assert not set(told) & set('"`|\\#\n\r')
    doc = ast.parse(f'"""\n{signature_lines([TensorSpec("float32", None, text)])}\n"""')
    assert len(doc.body) == 1
    (row,) = table_rows([TensorSpec("float32", (None, 3), text)], "taken")
    assert row.count("|") == 3


def test_of_a_thousand_tensors_some_are_listed() -> None:
    many = [TensorSpec("float32", (1,), f"x{number}") for number in range(1000)]
    assert signature_lines(many).count("\n") == 39


@pytest.mark.parametrize("name", ["flowers", "null", "on", "123", "1e3", "0x1f", "v1.2", "no"])
def test_a_function_is_called_the_same_in_yaml(name: str) -> None:
    assert yaml.safe_load(f"name: {yaml_name(name)}") == {"name": name}

"""The table of variables is complete, and nothing in it is made up."""

import re

from gpfn.cli.config import DEFAULTS
from gpfn.limits import Limits
from gpfn.settings import SETTINGS
from tests.conftest import ROOT
from tests.sources import modules

_NAME = re.compile(r"\bGPFN_[A-Z_]*[A-Z]\b")
_ROW = re.compile(r"^\| `(GPFN_[A-Z_]+)` \|", re.MULTILINE)


def named_in_the_source() -> set[str]:
    """Return every variable that a module names, and those that limits make of their fields."""
    texts = [module.path.read_text() for name, module in modules().items()]
    limits = {f"GPFN_MAX_{field.upper()}" for field in Limits._fields}
    return limits.union(*map(_NAME.findall, texts))


def test_the_table_has_every_variable_of_the_source_once() -> None:
    rows = _ROW.findall((ROOT / "docs" / "settings.md").read_text())
    assert rows == sorted(named_in_the_source())


def test_what_is_checked_at_the_start_is_the_same_list() -> None:
    assert list(SETTINGS) == sorted(named_in_the_source())


def test_the_defaults_of_the_table_are_those_of_gpfn_config() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `(GPFN_[A-Z_]+)` \|(.*?)\|", text, re.MULTILINE)
    assert {name: default.strip().replace("`", "") for name, default in rows} == DEFAULTS

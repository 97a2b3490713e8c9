"""The scripts of website/ as modules."""

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "website"))
    return importlib.import_module

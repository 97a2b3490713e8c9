"""The training scripts are no package: their folder goes on the path, as when they run.

They say to TensorFlow how to compute, which a process keeps: `make test` runs them by themselves.
"""

import sys

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "training"))


@pytest.fixture(autouse=True)
def variables_of_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a script sets where it is run, for TensorFlow here and in what a test starts."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")

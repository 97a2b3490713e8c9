"""The notebook runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "training" / "forecast.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs(
    notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_EPOCHS", "3")
    monkeypatch.setenv("GPFN_OUT", str(tmp_path))
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=120, resources=place).execute()
    made = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in made)
    assert "epoch     3  MSE" in text
    assert text.count("actual ") == 20
    assert text.count("next month: ") == 4
    assert "PORT answers (1, 20, 1) float32" in text
    assert "com.example.forecast -> com.example.forecast.response" in text
    assert "cause: True   subject: the last window" in text
    assert sum("image/png" in output.get("data", {}) for output in made) == 3
    assert (tmp_path / "forecast.tflite").is_file()


def test_it_is_committed_without_outputs(notebook: nbformat.NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)

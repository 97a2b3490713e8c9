"""The names of classes that `gpfn predict` prints are those that a function of rows answers."""

from pathlib import Path

import pytest

from gpfn import Function
from gpfn.cli.described import class_names, description_of
from gpfn.models.open import open_model
from tests.cli.terminal import on_a_terminal
from tests.rows import making

COLUMNS = '[[columns]]\nname = "a"\n[[columns]]\nname = "b"\n[[columns]]\nname = "c"\n'


@pytest.mark.parametrize("named", ["", "classes = ['two', 'ten', 'one']\n"])
@pytest.mark.parametrize("numbers", [(), (2, 10, 1)])
@pytest.mark.parametrize("zipmap", [True, False])
def test_classes_are_those_of_a_function_of_rows(
    tmp_path: Path, named: str, numbers: tuple[int, ...], zipmap: bool
) -> None:
    path = str(making.classifier(tmp_path, zipmap=zipmap, numbers=numbers))
    if named and zipmap and not numbers:
        named = f"classes = {[*making.CLASSES]}\n"  # the model's own order counts
    (tmp_path / "model.toml").write_text(f'model = "{Path(path).name}"\n{named}{COLUMNS}')
    row = Function(model=path, takes="rows")({"a": 1, "b": 2, "c": 9})
    assert isinstance(row, dict)
    wanted = {name: [*each] for name, each in row.items() if isinstance(each, dict)}
    model = open_model(path)
    given = model({"x": [[1, 2, 9]]})
    widths = {name: array.shape[1] if array.ndim == 2 else 1 for name, array in given.items()}
    found = class_names(model, description_of(path), widths)
    assert {name: [*each] for name, each in found.items()} == wanted
    assert len(wanted) == (1 if zipmap or named else 0)


def test_whole_numbers_are_no_scores_of_classes(tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    (tmp_path / "model.toml").write_text(
        'model = "ranks.py:ranks"\nclasses = ["lo", "mid", "hi"]\n'
    )
    told = on_a_terminal("predict", f"{tmp_path}/ranks.py:ranks", "--row", "x=1")
    assert "order[0]" in told
    assert told.index("mid") < told.index("lo") < told.index("hi"), "by probability"


RANKS = """
import numpy as np
from gpfn.models.python import declare
from gpfn.tensors import TensorSpec

@declare(inputs={"x": TensorSpec("float32", (None,))})
def ranks(x):
    return {"order": np.array([[2, 1, 0]]), "p": np.array([[0.2, 0.7, 0.1]])}
"""

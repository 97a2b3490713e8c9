"""Two processes of one server: what one has taken in, the other knows as well."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tfaas.ours import Running, serving
from tests.serving.forms import FORM, upload_form
from tests.serving.repository.onnx_files import scaled

TIMES = 24
"""Requests on connections of their own, so that every process is asked."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, "--workers", "2", "--max-open", "1") as running:
        yield running


def upload(served: Running, name: str, factor: float, features: Sequence[str] = ()) -> None:
    params = json.dumps({"features": features}).encode()
    body = upload_form(name, scaled(factor), params=("params.json", params))
    answer = served.wire.send("POST", "/upload", body, content_type=FORM)
    assert answer.status == 200, answer


def answers(served: Running, **row: Any) -> list[tuple[int, ...]]:
    """Return what is answered to a row, each answer once; a status for an error."""
    body = json.dumps({"values": [1, 2, 3], **row}).encode()
    found = set()
    for _ in range(TIMES):
        answer = served.wire.send("POST", "/json", body)
        found.add(
            tuple(json.loads(answer.body)) if answer.status == 200 else (answer.status,),
        )
    return sorted(found)


def test_features_are_those_of_the_version_that_answers(served: Running) -> None:
    upload(served, "m", 2, ["a", "b", "c"])
    assert answers(served, model="m", keys=["c", "b", "a"]) == [(6, 4, 2)]
    upload(served, "m", 3, ["c", "b", "a"])
    assert answers(served, model="m", keys=["c", "b", "a"]) == [(3, 6, 9)]


def test_a_row_that_names_no_model_has_one_answer(served: Running) -> None:
    assert answers(served) == [(400,)]
    upload(served, "a", 2)
    assert answers(served) == [(2, 4, 6)]
    upload(served, "b", 3)
    assert answers(served) == [(400,)]
    assert served.wire.send("DELETE", "/delete/b").status == 200
    assert answers(served) == [(2, 4, 6)]

"""TFaaS's paths with small models in this process: what the recordings do not show."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpfn.serving import Server, ServerSettings
from gpfn.serving.large import LARGE_BODY
from gpfn.serving.repository.settings import RepositorySettings
from tests.e2e.tfaas.recordings import Answer
from tests.e2e.tfaas.wire import Wire
from tests.serving.forms import FORM, form, upload_form
from tests.serving.repository.onnx_files import scaled

VALUES = [1.0, 2.0, 3.0]


@contextmanager
def serving(folder: Path, **changes: Any) -> Iterator[Wire]:
    """Serve a repository; a second server on its folder has all models asleep."""
    place = RepositorySettings(str(folder / "store"), **changes)
    with Server({}, ServerSettings(port=0, repository=place)) as server:
        yield Wire(*server.address)


def upload(wire: Wire, name: str, factor: float, **more: str | tuple[str, bytes]) -> Answer:
    return wire.send(
        "POST", "/upload", upload_form(name, scaled(factor), **more), content_type=FORM
    )


def ask(wire: Wire, **row: object) -> tuple[int, Any]:
    answer = wire.send("POST", "/json", json.dumps({"values": VALUES, **row}).encode())
    return answer.status, json.loads(answer.body)


def test_a_row_of_any_length_wakes_its_model(tmp_path: Path) -> None:
    with serving(tmp_path) as wire:
        upload(wire, "m", 2)
    for row in (
        {"model": "m"},
        {"model": "m", "more": "." * LARGE_BODY},
        {"more": "." * LARGE_BODY},
    ):
        with serving(tmp_path) as wire:
            assert ask(wire, **row) == (200, [2, 4, 6])


def test_a_request_that_wakes_its_model_counts_once(tmp_path: Path) -> None:
    with serving(tmp_path) as wire:
        upload(wire, "m", 2)
    with serving(tmp_path, rate="2-D") as wire:
        assert [ask(wire, model="m")[0] for _ in range(3)] == [200, 200, 429]


def test_nobody_knows_which_parameters_are_meant_where_there_is_no_default(tmp_path: Path) -> None:
    with serving(tmp_path) as wire:
        assert wire.send("GET", "/params").status == 400
        upload(wire, "one", 2, params=("params.json", b'{"name": "one"}'))
        assert wire.send("GET", "/params").body == b'{"name": "one"}'
        upload(wire, "two", 2)
        assert wire.send("GET", "/params").status == 400
    with serving(tmp_path, default="one") as wire:
        assert wire.send("GET", "/params").body == b'{"name": "one"}'


def test_parameters_and_labels_may_be_texts(tmp_path: Path) -> None:
    params = '{"name": "m", "description": "doubles", "features": ["a", "b", "c"]}'
    with serving(tmp_path) as wire:
        upload(wire, "m", 2, params=params, labels="x\ny\nz\n")
        (listed,) = json.loads(wire.send("GET", "/models").body)
        assert (listed["description"], listed["labels"]) == ("doubles", "labels.txt")
        assert wire.send("GET", "/download/m/labels.txt").body == b"x\ny\nz\n"
        assert ask(wire, keys=["c", "b", "a"]) == (200, [6, 4, 2])
        wrong = upload(wire, "m", 2, params="{")
        assert (wrong.status, b"params" in wrong.body) == (400, True)


def test_files_in_base64_are_taken_out_of_it(tmp_path: Path) -> None:
    """As the old client sends what it has no media type for, with a line feed at the end."""
    labels = base64.encodebytes("é\nb\nc\n".encode())
    more = {"labels": ("labels.names", labels)}
    model = base64.encodebytes(scaled(2))
    with serving(tmp_path) as wire:
        body = upload_form("m", model, **more)
        told = wire.send("POST", "/upload", body, content_type=FORM, content_encoding="base64")
        assert told.status == 200, told
        assert wire.send("GET", "/download/m/labels.names").body == "é\nb\nc\n".encode()
        assert wire.send("GET", "/download/m/m.onnx").body == scaled(2)
        assert wire.send("POST", "/upload", body, content_type=FORM).status != 200
        plain = upload_form("n", scaled(3), labels=("labels.names", b"not base64!\n"))
        told = wire.send("POST", "/upload", plain, content_type=FORM, content_encoding="base64")
        assert told.status == 200, told
        assert ask(wire, model="n") == (200, [3, 6, 9])


def test_a_row_without_a_model_goes_to_the_only_one_or_the_default(tmp_path: Path) -> None:
    with serving(tmp_path) as wire:
        assert ask(wire)[0] == 400, "there is none"
        upload(wire, "one", 2)
        assert ask(wire) == (200, [2, 4, 6])
        upload(wire, "two", 3)
        for row in ({}, {"model": ""}, {"model": None}, {"name": "two"}):
            status, told = ask(wire, **row)
            assert (status, "no default" in told["error"]) == (400, True), row
        assert wire.send("POST", "/params", b'{"name": "two"}').status == 403
        assert ask(wire)[0] == 400
    with serving(tmp_path, default="one") as wire:
        assert ask(wire) == (200, [2, 4, 6])
        upload(wire, "three", 4)
        assert ask(wire) == (200, [2, 4, 6]), "not the one that was uploaded last"
        wire.send("DELETE", "/delete/one")
        assert ask(wire)[0] == 404, "and not another one when it is gone"


@pytest.mark.parametrize("kind", ["json", "proto", "image"])
def test_a_model_that_was_deleted_is_known_to_nobody(tmp_path: Path, kind: str) -> None:
    bodies = {
        "json": json.dumps({"values": VALUES, "model": "m"}).encode(),
        "proto": b"\x12\x0c" + b"\0" * 12 + b"\x1a\x01m",
        "image": form({"model": "m", "image": ("f.png", b"x")}),
    }
    with serving(tmp_path) as wire:
        upload(wire, "m", 2)
        assert wire.send("POST", f"/{kind}", bodies[kind], content_type=FORM).status != 404
        assert wire.send("DELETE", "/delete?model=m").status == 200
        assert wire.send("POST", f"/{kind}", bodies[kind], content_type=FORM).status == 404
        assert json.loads(wire.send("GET", "/models").body) == []

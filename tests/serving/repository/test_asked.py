"""Which version of which model answers: by number, by tag, after it was closed, or by no name."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from gpfn.repository.documents import StoredFile
from gpfn.serving import Server, ServerSettings
from gpfn.serving.repository.folder_objects import FolderObjects
from gpfn.serving.repository.settings import RepositorySettings
from tests.serving.forms import FORM, upload_form
from tests.serving.repository.onnx_files import scaled
from tests.serving.repository.test_repository import ask, upload

INPUT = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    place = RepositorySettings(str(tmp_path / "store"), max_open=1)
    with Server({}, ServerSettings(port=0, repository=place)) as server:
        yield server


def put(server: Server, name: str, factor: float) -> None:
    assert upload(server, name, scaled(factor, 1))[0] == 200


def answer(server: Server, name: str, version: str = "") -> Any:
    """Return the number that a model makes of 1, or the status of the error."""
    path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
    status, told = ask(server, f"{path}/infer", {"inputs": [INPUT]})
    return told["outputs"][0]["data"][0] if status == 200 else status


def test_a_version_is_named_by_its_tag_as_well(server: Server) -> None:
    for factor in (2, 3):
        put(server, "m", factor)
    assert ask(server, "/repository/models/m/tags/stable", {"version": 1}, "PUT")[0] == 200
    put(server, "other", 7)  # and m is closed
    assert [answer(server, "m", one) for one in ("stable", "latest", "1", "2")] == [2, 3, 2, 3]
    assert [answer(server, "m", one) for one in ("nix", "9")] == [404, 404]
    assert ask(server, "/repository/models/m/tags/stable", {"version": 2}, "PUT")[0] == 200
    assert answer(server, "m", "stable") == 3


def test_a_model_that_is_closed_is_loaded_and_one_that_is_unloaded_answers_when_it_is_asked(
    server: Server,
) -> None:
    for name, factor in (("a", 2), ("b", 3)):
        put(server, name, factor)
    assert ask(server, "/v2/repository/models/a/load", b"") == (200, None)
    assert server.service.library.open_names() == ["a"]
    for _ in range(2):
        assert ask(server, "/v2/repository/models/a/unload", b"") == (200, None)
        assert server.service.library.open_names() == []
    assert answer(server, "a") == 2
    assert ask(server, "/v2/repository/models/a/unload", b"") == (200, None)
    put(server, "a", 5)
    assert answer(server, "a") == 5
    for verb in ("load", "unload"):
        assert ask(server, f"/v2/repository/models/nobody/{verb}", b"")[0] == 404


def test_all_who_ask_for_closed_models_at_once_are_answered(server: Server) -> None:
    factors = {"a": 2, "b": 3}
    for name, factor in factors.items():
        put(server, name, factor)
    asked = ["a"] * 8
    with ThreadPoolExecutor(len(asked)) as pool:
        assert [*pool.map(partial(answer, server), asked)] == [2] * len(asked)
        assert [*pool.map(partial(answer, server), factors)] == [2, 3], "one of them is open"


def test_of_one_model_not_all_old_versions_are_open(server: Server) -> None:
    for factor in range(1, 13):
        put(server, "m", factor)
    for version in range(1, 12):
        assert answer(server, "m", str(version)) == version
    assert server.service.library.versions("m") == [*map(str, range(4, 13))]
    assert answer(server, "m") == 12


def test_a_file_may_have_any_name_and_stays(server: Server) -> None:
    data = scaled(4, 1)
    files = [{"path": "ahead", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    assert ask(server, f"/repository/files/{files[0]['sha256']}", data, "PUT")[0] == 204
    assert ask(server, "/repository/models/m/versions", {"files": files})[0] == 201
    put(server, "other", 7)
    assert answer(server, "m") == 4


def test_the_same_files_with_other_parameters_are_another_version(server: Server) -> None:
    data = scaled(4)
    files = [{"path": "m.onnx", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    assert ask(server, f"/repository/files/{files[0]['sha256']}", data, "PUT")[0] == 204
    row = json.dumps({"keys": ["a", "b", "c"], "values": [1, 2, 3], "model": "m"}).encode()
    for features, status, values in (
        (["a", "b", "c"], 201, [4, 8, 12]),
        (["c", "b", "a"], 201, [12, 8, 4]),
        (["c", "b", "a"], 200, [12, 8, 4]),
    ):
        version = {"files": files, "params": {"features": features}}
        assert ask(server, "/repository/models/m/versions", version)[0] == status
        assert ask(server, "/json", row) == (200, values)


def test_a_page_keeps_no_folder_of_a_version(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: Counter[str] = Counter()
    place, release = FolderObjects.place, FolderObjects.release

    def placed(objects: FolderObjects, digest: str, files: Sequence[StoredFile]) -> Path:
        held[digest] += 1
        return place(objects, digest, files)

    def released(objects: FolderObjects, digest: str) -> None:
        held[digest] -= 1
        release(objects, digest)

    monkeypatch.setattr(FolderObjects, "place", placed)
    monkeypatch.setattr(FolderObjects, "release", released)
    body = upload_form("m", scaled(2), labels=("labels.txt", b"a\nb\nc\n"))
    with urlopen(Request(f"{server.url}/upload", body, {"Content-Type": FORM})) as reply:
        assert reply.status == 200
    before = held.total()
    for _ in range(3):
        page = Request(f"{server.url}/models/m", headers={"Accept": "text/html"})
        with urlopen(page) as reply:
            assert reply.status == 200
    assert held.total() == before == 1, "what is open"

"""A server with a repository: what is uploaded is asked over every protocol."""

import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.oip.client import InferenceClient
from gpfn.repository.client import RepositoryClient
from gpfn.repository.transfer import pull_version
from gpfn.serving import Server, ServerSettings
from gpfn.serving.repository.settings import RepositorySettings
from tests.serving.repository.onnx_files import scaled

ROW = {"values": [1.0, 2.0, 3.0]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    place = RepositorySettings(str(tmp_path / "store"), max_open=2)
    with Server({}, ServerSettings(port=0, repository=place)) as server:
        yield server


def ask(server: Server, path: str, body: object = None, method: str = "") -> tuple[int, Any]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, method=method or None)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "null")


def upload(server: Server, name: str, model: bytes, file: str = "m.onnx") -> tuple[int, Any]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n{name}\r\n'.encode(),
        f'--x\r\nContent-Disposition: form-data; name="model"; filename="{file}"\r\n\r\n'.encode(),
        model,
        b"\r\n--x--\r\n",
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{server.url}/upload", b"".join(parts), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_an_upload_answers_over_every_protocol(server: Server) -> None:
    status, told = upload(server, "twice", scaled(2))
    assert (status, told["version"], told["existed"]) == (200, 1, False)
    assert ask(server, "/json", {**ROW, "model": "twice"}) == (200, [2, 4, 6])
    assert ask(server, "/json", ROW) == (200, [2, 4, 6]), "there is only one"
    predicted = ask(server, "/v1/models/twice:predict", {"instances": [ROW["values"]]})
    assert predicted == (200, {"predictions": [[2.0, 4.0, 6.0]]})
    with InferenceClient(server.url) as client:
        x = np.array([ROW["values"]], np.float32)
        np.testing.assert_array_equal(client.infer("twice", {"x": x}).outputs["y"], 2 * x)


def test_a_second_upload_answers_from_then_on(server: Server) -> None:
    upload(server, "m", scaled(2))
    for factor in range(3, 8):
        status, told = upload(server, "m", scaled(factor))
        assert (status, told["version"]) == (200, factor - 1)
        assert ask(server, "/json", {**ROW, "model": "m"})[1][0] == factor
    old = ask(server, "/v1/models/m/versions/1:predict", {"instances": [ROW["values"]]})
    assert old[1]["predictions"][0][0] == 2
    assert ask(server, "/json", {**ROW, "model": "m"})[1][0] == 7, "not what was asked last"


def test_a_row_without_a_model_is_never_for_the_last_upload(server: Server) -> None:
    assert ask(server, "/json", ROW)[0] == 400
    upload(server, "one", scaled(2))
    upload(server, "two", scaled(3))
    status, told = ask(server, "/json", ROW)
    assert (status, "no model" in told["error"]) == (400, True)


def test_more_models_than_may_be_open_all_answer(server: Server) -> None:
    for factor in range(1, 6):
        upload(server, f"m{factor}", scaled(factor))
    for _ in range(2):
        for factor in range(1, 6):
            assert ask(server, "/json", {**ROW, "model": f"m{factor}"})[1][0] == factor
            assert len(server.service.library.open) <= 3


def test_tags_lead_to_versions_and_a_deleted_one_is_back_when_it_is_restored(
    server: Server,
) -> None:
    upload(server, "m", scaled(2))
    upload(server, "m", scaled(3))
    path = "/repository/models/m"
    assert ask(server, f"{path}/tags/stable", {"version": 1}, "PUT") == (
        200,
        {"tags": {"stable": 1}},
    )
    predict = {"instances": [ROW["values"]]}
    stable = ask(server, "/v1/models/m/labels/stable:predict", predict)
    assert stable[1]["predictions"][0][0] == 2
    assert ask(server, f"{path}/versions/latest", method="DELETE") == (200, {"deleted": [2]})
    assert ask(server, "/json", {**ROW, "model": "m"})[1][0] == 2
    assert ask(server, f"{path}/versions/2/restore", b"", "POST")[0] == 200
    assert ask(server, "/json", {**ROW, "model": "m"})[1][0] == 3


@pytest.mark.parametrize(
    ("name", "model", "file", "status"),
    [
        ("../up", scaled(1), "m.onnx", 400),
        ("m", b"no model at all", "m.onnx", 415),
        ("m", scaled(1)[:50], "m.onnx", 422),
        ("m", scaled(1), "..", 400),
        ("m", scaled(1), ".hidden.onnx", 400),
        ("m", b"\x80\x04K\x01.", "m.pkl", 415),
    ],
)
def test_what_is_not_taken_leaves_nothing(
    server: Server, tmp_path: Path, name: str, model: bytes, file: str, status: int
) -> None:
    assert upload(server, name, model, file)[0] == status
    assert ask(server, "/models") == (200, [])
    assert not [*(tmp_path / "store/.incoming").iterdir()]


def test_a_version_comes_file_by_file_and_none_twice(server: Server) -> None:
    import hashlib

    model, labels = scaled(2), b"a\nb\nc\n"
    files = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in (("m.onnx", model), ("labels.txt", labels))
    ]
    path = "/repository/models/m/versions"
    status, told = ask(server, path, {"files": files})
    assert (status, len(told["missing"])) == (409, 2)
    for data in (model, labels):
        digest = hashlib.sha256(data).hexdigest()
        assert ask(server, f"/repository/files/{digest}", data, "PUT") == (204, None)
    status, told = ask(server, path, {"files": files, "tag": "stable"})
    assert (status, told["version"], told["tags"]) == (201, 1, {"stable": 1})
    status, told = ask(server, path, {"files": files})
    assert (status, told["existed"]) == (200, True)
    status, told = ask(server, path, {"files": files[:1]})
    assert (status, told["version"]) == (201, 2), "the model is here already"
    wrong = hashlib.sha256(b"other").hexdigest()
    assert ask(server, f"/repository/files/{wrong}", model, "PUT")[0] == 422


def test_a_model_with_an_operator_that_nobody_knows_is_not_run(server: Server) -> None:
    status, told = upload(server, "m", scaled(2).replace(b"Mul", b"Mum"))
    assert status == 422
    assert "Mum" in told["error"]
    assert ask(server, "/models") == (200, [])


def test_a_damaged_document_is_told_of_its_model_and_all_else_goes_on(
    server: Server, tmp_path: Path
) -> None:
    for factor in (2, 3):
        upload(server, "m", scaled(factor))
    ask(server, "/repository/models/m/tags/stable", {"version": 1}, "PUT")
    for kind, number in (("versions", 4), ("tags", 2)):
        (tmp_path / f"store/models/m/{kind}/{number}.json").write_bytes(b"{")
    status, told = ask(server, "/repository/models/m")
    assert (status, [one["document"] for one in told["damaged"]]) == (
        200,
        ["tags/2.json", "versions/4.json"],
    )
    assert "not JSON" in told["damaged"][0]["reason"]
    assert [one["version"] for one in told["versions"]] == [1, 2]
    assert ask(server, "/json", {**ROW, "model": "m"}) == (200, [3, 6, 9])
    damaged = ask(server, "/repository/models/m/versions/4/files/m.onnx")
    assert (damaged[0], "versions/4.json" in damaged[1]["detail"]) == (500, True)


def bundle(time: int, order: Sequence[str]) -> bytes:
    """Return files in a tar, as packed at another time by another user in another order."""
    contents = {"m.onnx": scaled(2), "labels.txt": b"a\nb\nc\n"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in order:
            member = tarfile.TarInfo(f"m/{name}")
            member.size, member.mtime, member.uid = len(contents[name]), time, time
            tar.addfile(member, io.BytesIO(contents[name]))
    return packed.getvalue()


def test_the_same_files_are_the_same_version_however_they_are_packed(server: Server) -> None:
    first = ask(server, "/upload", bundle(1, ("m.onnx", "labels.txt")), "POST")
    again = ask(server, "/upload", bundle(2_000_000, ("labels.txt", "m.onnx")), "POST")
    assert (first[0], again[0]) == (200, 200)
    assert again[1] == {**first[1], "existed": True}


def test_a_pull_has_one_version_although_its_tag_moves(server: Server, tmp_path: Path) -> None:
    for factor, labels in ((2, b"old"), (3, b"new")):
        parts = [
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nm\r\n--x\r\n',
            b'Content-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n',
            scaled(factor),
            b'\r\n--x\r\nContent-Disposition: form-data; name="labels"; filename="labels.txt"',
            b"\r\n\r\n" + labels + b"\r\n--x--\r\n",
        ]
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        request = urllib.request.Request(f"{server.url}/upload", b"".join(parts), headers)
        urllib.request.urlopen(request, timeout=60).close()
    path = "/repository/models/m/tags/stable"
    ask(server, path, {"version": 1}, "PUT")

    class Moving(RepositoryClient):
        """Has the tag moved before each file that it fetches."""

        fetched = 0

        def receive_file(self, *words: Any, **named: Any) -> Any:
            self.fetched += 1
            ask(server, path, {"version": 2}, "PUT")
            return super().receive_file(*words, **named)

    with Moving(server.url) as client:
        pull_version(client, "m", "stable", tmp_path / "m")
        assert client.fetched == 2
    assert (tmp_path / "m/m.onnx").read_bytes() == scaled(2)
    assert (tmp_path / "m/labels.txt").read_bytes() == b"old"


def test_who_asks_whether_a_model_is_ready_wakes_it(server: Server) -> None:
    for factor in (1, 2, 3):
        upload(server, f"m{factor}", scaled(factor))
    assert "m1" not in server.service.library.open
    for path in ("/v1/models/m1", "/v2/models/m1/ready"):
        assert ask(server, path)[0] == 200
    assert "m1" in server.service.library.open
    assert ask(server, "/v1/models/none")[0] == 404

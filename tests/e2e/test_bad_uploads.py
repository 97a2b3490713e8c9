"""Uploads that are too large, slow, cut off or meant to do harm: told, and nothing is left."""

import json
import select
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.repository_served import FORM, RepositoryServer, form, repository_served, until
from tests.serving.repository.archives import gzipped, raw_tar, raw_zip, tar_of, zip_of
from tests.serving.repository.onnx_files import scaled

LIMIT = 8 << 20
GOOD = {"bundled/m.onnx": scaled(2)}
MODEL = ("model", "m.onnx", scaled(2))
NAME = ("name", None, b"m")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RepositoryServer]:
    tmp = tmp_path_factory.mktemp("uploads")
    with repository_served(tmp, "--max-upload", str(LIMIT)) as server:
        server.upload("before", scaled(7))
        yield server
        assert server.factor("before") == 7
        server.is_well()


@pytest.fixture(autouse=True)
def unharmed(server: RepositoryServer) -> Iterator[None]:
    """After each of them nothing is left, and the models are those that were there before."""
    yield
    until(lambda: not server.left())
    assert server.versions().keys() <= {"before", "well"}


def head(*lines: str, path: str = "/upload", media_type: str = FORM) -> bytes:
    start = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}", *lines]
    return "\r\n".join([*start, "", ""]).encode()


def told(reply) -> str:
    return json.loads(reply.body)["error"]


# sizes


@pytest.mark.parametrize("media_type", [FORM, "application/gzip"])
@pytest.mark.parametrize("size", [LIMIT + 1, 10 << 30, 1 << 60])
def test_a_length_over_the_limit_is_refused_before_it_comes(
    server: RepositoryServer, size: int, media_type: str
) -> None:
    reply = server.server.send(head(f"Content-Length: {size}", media_type=media_type))
    assert reply.status == 413
    assert f"the limit is {LIMIT} (--max-upload)" in told(reply)


@pytest.mark.parametrize("media_type", [FORM, "application/gzip"])
def test_chunks_over_the_limit_are_refused_while_they_come(
    server: RepositoryServer, media_type: str
) -> None:
    piece = form(NAME, ("model", "m.onnx", b"|")).partition(b"|")[0]
    with server.server.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked", media_type=media_type))
        sent = 0
        while not (answer := peek(connection)):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
            piece = bytes(1 << 20)
            assert sent < 100 * LIMIT, "it is refused while it comes"
    assert answer.startswith(b"HTTP/1.1 413 ")


def peek(connection: socket.socket) -> bytes:
    """Return what has been answered so far."""
    if not select.select([connection], [], [], 0)[0]:
        return b""
    return connection.recv(100)


def test_many_that_are_cut_off_leave_nothing(server: RepositoryServer) -> None:
    body = form(NAME, ("model", "m.onnx", bytes(1 << 20)))
    for number in range(1, 21):
        kind = FORM if number % 2 else "application/octet-stream"
        with server.server.connect() as connection:
            connection.sendall(head(f"Content-Length: {len(body)}", media_type=kind))
            connection.sendall(body[: len(body) * number // 22])
            if number % 3 == 0:  # no goodbye
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_leaves_when_all_was_sent(server: RepositoryServer) -> None:
    """Nobody hears the answer; it is taken in whole or not at all."""
    body = form(("name", None, b"well"), MODEL)
    for _ in range(5):
        with server.server.connect() as connection:
            connection.sendall(head(f"Content-Length: {len(body)}") + body)


def test_a_client_that_takes_its_time(tmp_path: Path) -> None:
    with repository_served(tmp_path, "--upload-time", "1") as server:
        with server.server.connect() as connection:
            connection.sendall(head("Content-Length: 100000"))
            reply = b""
            while not reply:
                connection.sendall(b"-")
                connection.settimeout(0.05)
                try:
                    reply = connection.recv(4096)
                except TimeoutError:
                    reply = b""
        assert reply.startswith(b"HTTP/1.1 408 "), reply
        assert b"it took over 1 s to come" in reply
        server.is_well()


def test_a_client_that_falls_silent(tmp_path: Path) -> None:
    with repository_served(tmp_path, "--upload-time", "1") as server:
        with server.server.connect() as connection:
            connection.sendall(head("Content-Length: 100000") + form(NAME)[:40])
            reply = connection.recv(4096)
        assert reply.startswith(b"HTTP/1.1 408 "), reply
        server.is_well()


# forms


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        ("multipart/form-data", bytes(1 << 20), 400),
        ("multipart/form-data; boundary=", bytes(1 << 20), 400),
        ("multipart/form-data; boundary=" + "x" * 300, bytes(1 << 20), 400),
        ("multipart/form-data; boundary=\xff", bytes(1 << 20), 400),
        (FORM, bytes(1 << 20), 400),
        (FORM, b"", 400),
        (FORM, b"\r\n" * (1 << 20), 400),
        (FORM, form(NAME, MODEL)[:-5], 400),
        (FORM, form(NAME, MODEL)[:-200], 400),
        (FORM, form(*[("a", None, b"")] * 65), 400),
        (FORM, form(*[("a", "b", b"")] * 65), 400),
        (FORM, form(("a" * 5000, None, b""), NAME, MODEL), 400),
        (FORM, form(("name", None, b"n" * (1 << 20)), MODEL), 413),
        (FORM, form(("other", None, bytes(1 << 20)), NAME, MODEL), 413),
        (FORM, form(("name", None, b"\xff"), MODEL), 400),
        (FORM, form(NAME), 400),
        (FORM, form(MODEL), 400),
        (FORM, form(NAME, MODEL, ("labels", "m.onnx", b"a")), 400),
        (FORM, form(NAME, MODEL, ("labels", "params.json", b"{}"), ("params", "p", b"{}")), 400),
    ],
)
def test_what_is_no_form_is_refused(
    server: RepositoryServer, media_type: str, body: bytes, status: int
) -> None:
    request = head(f"Content-Length: {len(body)}", media_type=media_type)
    reply = server.server.send(request + body)
    assert reply.status == status, reply
    assert told(reply)


@pytest.mark.parametrize("length", [100 << 20])
def test_a_hundred_megabytes_without_a_boundary_are_refused_at_once(
    tmp_path: Path, length: int
) -> None:
    with repository_served(tmp_path) as server:
        for media_type in ("multipart/form-data", FORM):
            with server.server.connect() as connection:
                connection.sendall(head(f"Content-Length: {length}", media_type=media_type))
                connection.sendall(bytes(1 << 20))
                assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        server.is_well()


@pytest.mark.parametrize(
    "name",
    ["../up", "..", ".", ".hidden", "a/b", "a\\b", "%2e%2e", "%2e%2e%2fup", "a\0b", "", "a b",
     "m" * 101, "\uff4d", "m\u0430", "\u2025", "a\u202eb", "m\n", "m\r\nX: y", "~", "$(id)"],
)  # fmt: skip
def test_a_name_that_nothing_may_have(server: RepositoryServer, name: str) -> None:
    reply = server.upload(name, scaled(2))
    assert reply.status == 400, reply
    assert "name" in told(reply)


@pytest.mark.parametrize("name", ["../up", "%2e%2e", ".hidden", "a%00b", "a%2Fb", "m%EF%BC%8E"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_that_leads_elsewhere(server: RepositoryServer, name: str, method: str) -> None:
    for path in (
        f"/repository/models/{name}",
        f"/repository/models/before/versions/1/files/{name}",
        f"/repository/models/before/versions/{name}/files/m.onnx",
        f"/download/before/{name}",
        f"/download/{name}/m.onnx",
        f"/params/{name}",
        f"/delete/{name}",
    ):
        reply = server.server.ask(path, method=method)
        assert reply.status in (400, 404, 405), (path, reply)


@pytest.mark.parametrize(
    "name", ["..", ".x", "a%b.onnx", "m\u0430.onnx", "x" * 101, "C:\\", "a\0b"]
)
def test_a_file_name_that_nothing_may_have(server: RepositoryServer, name: str) -> None:
    reply = server.upload("m", scaled(2), name)
    assert reply.status == 400, reply


def test_a_path_as_a_file_name_is_cut_as_by_tfaas(server: RepositoryServer) -> None:
    for name in ("../../etc/m.onnx", "..\\..\\m.onnx", "/abs/m.onnx"):
        assert server.upload("well", scaled(3), name).status == 200
        (one,) = server.ask("/repository/models/well")["versions"][-1]["files"]
        assert one["path"] == "m.onnx"


def test_parameters_of_many_megabytes(server: RepositoryServer) -> None:
    text = b'{"description": "' + b"x" * (5 << 20) + b'"}'
    reply = server.upload("m", scaled(2), more=[("params", "params.json", text)])
    assert (reply.status, "params" in told(reply)) == (413, True)


def test_parameters_of_fifty_megabytes(tmp_path: Path) -> None:
    text = b'{"description": "' + b"x" * (50 << 20) + b'"}'
    with repository_served(tmp_path) as server:
        before = server.server.resident()
        reply = server.upload("m", scaled(2), more=[("params", "params.json", text)])
        assert (reply.status, "params" in told(reply)) == (413, True)
        assert server.server.resident() - before < 40 << 20, "it was not read whole"
        server.is_well()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"name": "other"}', b'{"name": 3}', b"[" * 100_000,
     b'{"a":' * 1000 + b"1" + b"}" * 1000],
)  # fmt: skip
def test_parameters_that_are_none(server: RepositoryServer, text: bytes) -> None:
    reply = server.upload("m", scaled(2), more=[("params", "params.json", text)])
    assert (reply.status, "params" in told(reply)) == (400, True), reply


def test_more_labels_than_outputs(server: RepositoryServer) -> None:
    labels = b"".join(b"class %d\n" % number for number in range(1000))
    reply = server.upload("well", scaled(2), more=[("labels", "labels.txt", labels)])
    assert reply.status in (200, 400, 422), reply
    if reply.status == 200:
        assert server.factor("well") == 2


@pytest.mark.parametrize("labels", [b"\xff\xfe\n", b"a" * 5_000_000, b"\n" * 5_000_000])
def test_labels_that_are_none(server: RepositoryServer, labels: bytes) -> None:
    reply = server.upload("m", scaled(2), more=[("labels", "labels.txt", labels)])
    assert reply.status in (400, 413, 422), reply
    assert "labels" in told(reply)


# bundles


def zip_bomb() -> bytes:
    return raw_zip((b"m/m.onnx", bytes(256 << 20)))


def quine_tar() -> bytes:
    return gzipped(raw_tar(b"m/m.onnx", size=b"77777777777\0"))


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (gzipped(tar_of({f"m/f{number}": b"" for number in range(100_000)})), 413, "10000 files"),
        (gzipped(raw_tar(b"m/m.onnx", bytes(128 << 20))), 413, "m/m.onnx"),
        (zip_bomb(), 413, "m/m.onnx"),
        (quine_tar(), 413, "m/m.onnx"),
        (gzipped(raw_tar(b"../up", b"x")), 400, "../up"),
        (gzipped(raw_tar(b"m/../../up", b"x")), 400, "m/../../up"),
        (gzipped(raw_tar(b"/etc/passwd", b"x")), 400, "passwd"),
        (gzipped(raw_tar(b"m/%2e%2e/up", b"x")), 400, "%2e%2e"),
        (gzipped(raw_tar(b"m/.hidden", b"x")), 400, ".hidden"),
        (gzipped(raw_tar(b"m/link", kind=b"2")), 400, "m/link"),
        (gzipped(raw_tar(b"m/link", kind=b"1")), 400, "m/link"),
        (gzipped(raw_tar(b"m/device", kind=b"3")), 400, "m/device"),
        (gzipped(raw_tar("m/\u0430.onnx".encode(), b"x")), 400, "\u0430.onnx"),
        (raw_zip((b"m/../up", b"x")), 400, "m/../up"),
        (raw_zip((b"m/a\0b", b"x")), 400, "m/a"),
        (raw_zip((b"m/link", b"/etc"), mode=0o120777), 400, "m/link"),
        (gzipped(tar_of(GOOD))[:-20], 400, "archive"),
        (zip_of(GOOD)[:-30], 400, ""),
        (gzipped(zip_of(GOOD)), 415, "gzip"),
        (b"", 415, ""),
        (b"hello" * 1000, 415, ""),
        (gzipped(b"hello" * 1000), 415, ""),
        (zlib.compress(tar_of(GOOD)), 415, ""),
        (gzipped(tar_of({"m/m.py": b"import os"})), 422, "m.py"),
        (gzipped(tar_of({"one/m.onnx": scaled(2), "two/m.onnx": scaled(2)})), 400, "folder"),
        (gzipped(tar_of({"m/labels.txt": b"a"})), 422, "no model"),
    ],
)  # fmt: skip
def test_a_bundle_that_is_none(
    server: RepositoryServer, body: bytes, status: int, named: str
) -> None:
    reply = server.bundle(body)
    assert (reply.status, named in told(reply)) == (status, True), reply
    assert not (server.place.parent / "up").exists()


# files that are sent ahead of their version


def test_a_file_whose_digest_is_none(server: RepositoryServer) -> None:
    for digest in ("x", "0" * 63, "A" * 64, "..%2fup"):
        for size in (10, 3 << 20):
            reply = server.server.ask(f"/repository/files/{digest}", bytes(size), "PUT")
            assert reply.status in (400, 404), reply


def test_a_file_that_is_another(server: RepositoryServer) -> None:
    reply = server.server.ask(f"/repository/files/{'0' * 64}", bytes(3 << 20), "PUT")
    assert (reply.status, json.loads(reply.body)["type"]) == (422, "wrong-digest")


def test_a_version_of_files_that_nobody_sent(server: RepositoryServer) -> None:
    files = [{"path": "m.onnx", "size": 3, "sha256": "0" * 64}]
    for body, status in (
        ({"files": files}, 409),
        ({"files": files * 2}, 400),
        ({"files": []}, 400),
        ({"files": [{**files[0], "path": "../up"}]}, 400),
        ({"files": [{**files[0], "path": "a"}, {**files[0], "path": "a/b"}]}, 400),
        ({"files": [{**files[0], "size": -1}]}, 400),
        ({"files": [{**files[0], "size": "3"}]}, 400),
        ({"files": [{**files[0], "path": f"f{n}"} for n in range(10_001)]}, 413),
        ({}, 400),
        ([], 400),
        (b"{" * 1000, 400),
        (b" " * (17 << 20), 413),
    ):
        reply = server.server.ask("/repository/models/m/versions", body)
        assert reply.status == status, (body, reply)

"""functions/download as it lies there: over JSON, over GraphPipe, with the settings it reads."""

import base64
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gpfn import Function
from gpfn.graphpipe.client import Client
from gpfn.graphpipe.decode import decode_response
from gpfn.graphpipe.encode import encode_request
from gpfn.graphpipe.messages import InferRequest, InferResponse
from gpfn.message import Message
from gpfn.platforms.load import load_function
from tests.classy.pictures import Pictures, picture, pictures
from tests.cli.serving import clean_environ, serve

JPEG, PNG = picture("JPEG"), picture("PNG")


@pytest.fixture
def server() -> Iterator[Pictures]:
    with pictures() as running:
        yield running


@pytest.fixture
def download(
    server: Pictures, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Function:
    """Load a copy: a file is loaded once, and reads its settings then."""
    monkeypatch.setenv("GPFN_DOWNLOAD_HOSTS", f"127.0.0.1:{server.port}")
    shutil.copytree(root / "functions/download", tmp_path / "download")
    function = load_function(str(tmp_path / "download"))
    function.open()
    return function


def ask(function: Function, value: object) -> tuple[int, Any]:
    reply = function.answer(Message(orjson.dumps(value), "application/json"))
    return reply.status, orjson.loads(reply.message.body)


def in_base64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def test_json_has_addresses_as_text_and_files_in_base64(
    download: Function, server: Pictures
) -> None:
    url = server.put("/a.jpg", JPEG)
    images = [url, in_base64(PNG), server.url("/absent"), "http://10.0.0.1/a.jpg"]
    status, answer = ask(download, {"images": images})
    assert status == 200
    assert answer["images"] == [in_base64(JPEG), in_base64(PNG), "", ""]
    assert answer["fetch_problems"] == [
        "",
        "",
        "answered with status 404",
        "cannot be fetched: 10.0.0.1 is not a public address",
    ]
    assert ask(download, [url])[1]["images"] == [in_base64(JPEG)], "the list alone will do"


def test_graphpipe_has_strings_of_bytes(download: Function, server: Pictures) -> None:
    url = server.put("/a.jpg", JPEG)
    images = np.array([url.encode(), PNG], object)
    body = b"".join(encode_request(InferRequest((images,), ("images",))))
    reply = download.answer(Message(body, "application/vnd.graphpipe"))
    assert reply.status == 200, reply.message.body
    response = decode_response(reply.message.body)
    assert isinstance(response, InferResponse)
    assert [tensor.tolist() for tensor in response.tensors] == [[JPEG, PNG], [b"", b""]]


@pytest.mark.parametrize("images", [[], [["a"]], [1], "http://example.com/", None])
def test_what_is_no_list_of_pictures_is_refused(download: Function, images: object) -> None:
    status, answer = ask(download, {"images": images})
    assert status == 400
    assert "images" in answer["error"]["field"]


def test_ten_thousand_are_refused(download: Function) -> None:
    status, answer = ask(download, {"images": ["http://example.com/a.jpg"] * 10_000})
    assert status == 413
    assert answer["error"]["field"] == "images"


def test_a_caller_who_leaves_has_nothing_more_downloaded(
    server: Pictures, root: Path, tmp_path: Path
) -> None:
    """A hundred and twenty pictures of a host that says nothing: as many seconds, six at a time."""
    urls = [server.put(f"/{number}.jpg", JPEG, wait=30) for number in range(120)]
    images = np.array([url.encode() for url in urls], object)
    body = b"".join(encode_request(InferRequest((images,), ("images",))))
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    environ = clean_environ(
        GPFN_DOWNLOAD_HOSTS=f"127.0.0.1:{server.port}", GPFN_DOWNLOAD_SECONDS="1s"
    )
    target = str(root / "functions" / "download" / "func.py")
    with serve(tmp_path, "--model", target, environ=environ) as served:
        port = int(served.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(head + body)
            until = time.monotonic() + 10
            while len(server.asked) < 6 and time.monotonic() < until:
                time.sleep(0.01)
        assert len(server.asked) == 6
        time.sleep(2.5)
        assert len(server.asked) == 6, "no more after who wanted them has left"
        good = server.put("/good.jpg", JPEG)
        request = InferRequest((np.array([good.encode()], object),), ("images",))
        with Client(served.url) as client:
            assert client.infer(request.tensors)[0].tolist() == [JPEG]


def test_the_sample(download: Function, root: Path) -> None:
    sample = (root / "functions/download/sample.json").read_bytes()
    reply = download.answer(Message(sample, "application/json"))
    assert reply.status == 200
    assert orjson.loads(reply.message.body) == orjson.loads(sample) | {"fetch_problems": [""]}

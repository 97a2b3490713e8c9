"""What a program asks: values, classes, and files whose names are anything."""

from pathlib import Path

import pytest

from gpfn.errors import BrokenReply, CannotConnect, InvalidTensor, RefusedByModel, SetupError
from gpfn.tfaas.client import TfaasClient
from gpfn.tfaas.messages import ClassProbability
from tests.cli.replies import form_parts, scripted


def test_values_and_classes() -> None:
    answer = b"\x0a\x08\x0a\x01a\x15\0\0\x80\x3f"
    with scripted([(200, b"[0.5,1]\n"), (200, b"[[0.5],[1]]\n"), (200, answer)]) as server:
        client = TfaasClient(server.url)
        assert client.values([1, 2], keys=["a", "b"], model="m") == [0.5, 1]
        assert client.values([[1], [2]]) == [[0.5], [1]]
        assert client.classes([1], keys=["a"], model="m") == (ClassProbability("a", 1.0),)
    assert [each.path for each in server.asked] == ["/json", "/json", "/proto"]
    assert server.asked[0].body == b'{"keys":["a","b"],"values":[1,2],"model":"m"}'


def test_errors_are_the_servers_words() -> None:
    replies = [(500, b'{"error":"unable to make predictions"}\n'), (429, b"Limit exceeded\n")]
    with scripted([*replies, (200, b""), (200, b"{}"), (200, b"\xff"), (0, b"")]) as server:
        client = TfaasClient(server.url)
        with pytest.raises(RefusedByModel, match="unable to make predictions") as refused:
            client.values([1])
        assert refused.value.code == 500
        with pytest.raises(RefusedByModel, match="Limit exceeded"):
            client.classes([1])
        for _ in range(2):
            with pytest.raises(BrokenReply):
                client.values([1])
        with pytest.raises(BrokenReply):
            client.classes([1])
        with pytest.raises(BrokenReply, match="closed the connection"):
            client.models()
    with pytest.raises(InvalidTensor):
        client.values([float("nan")])
    with pytest.raises(CannotConnect):
        TfaasClient("http://127.0.0.1:1").models()


def test_names_cannot_leave_their_quotes(tmp_path: Path) -> None:
    path = tmp_path / 'a"b\r\nX: y.txt'
    path.write_bytes(b"content")
    with scripted([(200, b""), (200, b"")]) as server:
        client = TfaasClient(server.url)
        client.upload({'n"': "a\r\nb"}, {"labels": str(path)})
        client.image(str(path), "m")
    parts = form_parts(server.asked[0])
    assert parts["n%22"] == ("", b"a\r\nb")
    head, content = parts["labels"]
    assert content == b"content"
    assert head.splitlines()[0].endswith('a%22b%0D%0AX: y.txt"')
    assert len(head.splitlines()) == 2
    assert list(form_parts(server.asked[1])) == ["model", "image"]


def test_a_bundle_says_how_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x1f\x8bx")
    (tmp_path / "b").write_bytes(b"tar")
    with scripted([(200, b""), (200, b"")]) as server:
        client = TfaasClient(server.url)
        for name in ("a", "b"):
            client.bundle(str(tmp_path / name))
    assert [each.headers.get("content-encoding") for each in server.asked] == ["gzip", None]
    with pytest.raises(SetupError):
        client.bundle(str(tmp_path))

"""``gpfn tfaas`` beside tfaas_client.py: the same requests, prints and exit codes."""

import base64
import binascii
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gpfn.cli.main import main
from tests.cli.replies import Asked, form_parts, scripted


def recordings(shared: Path) -> list[dict[str, Any]]:
    """Return what the unmodified client was seen to do, one request each."""
    lines = (shared / "reference" / "wire" / "tfaas2.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [
        entry
        for entry in entries
        if entry["case"].startswith("python client") and len(entry["exchanges"]) == 1
    ]


def recorded_request(entry: dict[str, Any]) -> Asked:
    """Return the request of a recording."""
    request = entry["exchanges"][0]["request"]
    body = request["body"]
    body = base64.b64decode(body["base64"]) if isinstance(body, dict) else body.encode()
    headers = {name.lower(): value for name, value in request["headers"]}
    return Asked(request["method"], request["path"], headers, body)


def decoded(content: bytes) -> bytes:
    """Return what a file of the old client was before it was encoded."""
    try:
        return base64.b64decode(content.replace(b"\n", b""), validate=True)
    except binascii.Error:
        return content


def write_inputs(request: Asked, folder: Path) -> None:
    """Write the files that the command of a recording had."""
    if request.path == "/json":
        for name in ("in.json", "in3.json", "in_name.json"):
            (folder / name).write_bytes(request.body)
    elif request.headers.get("content-encoding") == "gzip":
        (folder / "luca.tar.gz").write_bytes(request.body)
    elif request.method == "POST":
        document = {}
        for name, (head, content) in form_parts(request).items():
            filename = head.partition('filename="')[2].partition('"')[0]
            if filename:
                (folder / filename).parent.mkdir(parents=True, exist_ok=True)
                opaque = "octet-stream" in head
                (folder / filename).write_bytes(decoded(content) if opaque else content)
            document[name] = filename or content.decode()
        for name in ("upload.json", "upload_op.json", "upload_names.json"):
            (folder / name).write_text(json.dumps(document))


def same_request(ours: Asked, theirs: Asked) -> None:
    """Check that two requests say the same, encoded or not."""
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert ours.headers.get("accept", "application/json") == "application/json"
    if ours.path == "/json":
        assert json.loads(ours.body) == json.loads(theirs.body)
    elif "form-data" in theirs.headers.get("content-type", ""):
        assert ours.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert "content-encoding" not in ours.headers
        our_parts, their_parts = form_parts(ours), form_parts(theirs)
        assert sorted(our_parts) == sorted(their_parts)
        for name, (head, content) in our_parts.items():
            their_head, encoded = their_parts[name]
            assert head.splitlines()[:1] == their_head.splitlines()[:1], "the file's name"
            assert content == (decoded(encoded) if "octet-stream" in their_head else encoded)
    else:
        assert ours.body == theirs.body
        for name in ("content-encoding", "content-type"):
            assert ours.headers.get(name) == theirs.headers.get(name)


def test_it_does_what_the_old_client_was_seen_to_do(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """But for the first line, which warned that there is no proxy certificate."""
    monkeypatch.chdir(tmp_path)
    count = 0
    for entry in recordings(shared):
        if "of 2018" in entry["case"] or "--verbose" in entry["command"]:
            continue
        request = recorded_request(entry)
        write_inputs(request, tmp_path)
        words = entry["command"].split()[1:]
        named = [word.partition("=")[2] for word in words if word.startswith("--upload=")]
        if named and not Path(named[0]).exists():
            Path(named[0]).write_bytes(Path("upload.json").read_bytes())
        response = entry["exchanges"][0].get("response") or {}
        reply = (response.get("status") or 0, (response.get("body") or "").encode())
        with scripted([reply]) as server:
            words = [f"--url={server.url}" if "--url=" in word else word for word in words]
            code = main(["tfaas", *words])
            (asked,) = server.asked
        printed = capsys.readouterr().out
        same_request(asked, request)
        assert code == int(entry["exit"]), entry["case"]
        assert printed == entry["stdout"].partition("\n")[2], entry["case"]
        count += 1
    assert count > 12


def test_upload_comes_first_and_the_last_answer_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.pb").write_bytes(b"model")
    (tmp_path / "up.json").write_text(json.dumps({"name": "m", "model": str(tmp_path / "m.pb")}))
    words = ["tfaas", f"--upload={tmp_path / 'up.json'}", "--models", "--delete=x"]
    with scripted([(200, b"first"), (200, b"")]) as server:
        assert main([*words, f"--url={server.url}/base/"]) == 0
    assert [each.path for each in server.asked] == ["/base/upload", "/base/delete"]
    assert capsys.readouterr().out == ""
    with scripted([(500, b"no\n")]) as server:
        assert main([*words, f"--url={server.url}"]) == 1
    assert capsys.readouterr().out == "no\n\n"
    assert len(server.asked) == 1


def test_verbose_tells_what_is_asked_and_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.json").write_text('{"keys": ["a"], "values": [1]}')
    with scripted([(200, b"[1.5]\n")]) as server:
        words = ["--predict", str(tmp_path / "in.json"), "--model", "m", "--verbose"]
        assert main(["tfaas", "--url", server.url, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"URL   : {server.url}/json"
    assert lines[2] == 'params: {"keys": ["a"], "values": [1], "model": "m"}'
    assert "reply : 200 OK" in lines
    assert lines[-1] == "[1.5]"


def test_a_token_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPFN_TOKEN", "gpfn_a")
    with scripted([(200, b"[]"), (200, b"[]")]) as server:
        assert main(["tfaas", "--url", server.url, "--models"]) == 0
        assert main(["tfaas", "--url", server.url, "--models", "--token", "gpfn_b"]) == 0
    assert [each.headers["authorization"] for each in server.asked] == [
        "Bearer gpfn_a",
        "Bearer gpfn_b",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to do; expected one of --upload, --bundle"),
        (["--models", "--url", "ftp://h"], "url: expected http://HOST"),
        (["--models", "--url", "http://127.0.0.1:1"], "connection refused"),
        (["--predict", "none.json"], "cannot read none.json"),
        (["--predict", "bad.json"], "bad.json: not JSON"),
        (["--upload", "list.json"], "list.json: expected an object"),
        (["--upload", "deep.json"], "deep.json: name is no text"),
        (["--upload", "lost.json"], "nowhere.pb: cannot be read"),
        (["--bundle", "none.tar"], "none.tar: cannot be read"),
        (["--models", "--url", "https://h", "--cert", "none.pem"], "cert: no certificate"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("x")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text('{"name": {}}')
    (tmp_path / "lost.json").write_text('{"model": "nowhere.pb"}')
    assert main(["tfaas", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_certificate_is_shown_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that wants one, with authorities as OpenSSL hashes them."""
    import socket
    from threading import Thread

    proxy = tmp_path / "proxy.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    proxy.write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    authorities = tmp_path / "certificates"
    authorities.mkdir()
    (authorities / "a.pem").write_text((tmp_path / "cert.pem").read_text())
    subprocess.run(["openssl", "rehash", str(authorities)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(proxy))
    context.load_verify_locations(str(proxy))
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(65536)
                subjects = dict(pair[0] for pair in wrapped.getpeercert()["subject"])
                body = json.dumps(subjects).encode()
                wrapped.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

        thread = Thread(target=answer, daemon=True)
        thread.start()
        monkeypatch.setenv("X509_USER_PROXY", str(proxy))
        url = f"https://localhost:{listener.getsockname()[1]}"
        assert main(["tfaas", "--url", url, "--models", "--capath", str(authorities)]) == 0
        thread.join(20)
    out, err = capsys.readouterr()
    assert (out, err) == ('{"commonName": "localhost"}\n', "")

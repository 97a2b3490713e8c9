"""``gpfn bridge check``: what a bridge.toml names, looked for without reading an event."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.bridge.kafka_broker import TestKafka, kafka
from tests.cli.bridge_queues import Queue, call, nats, queue

__all__ = ["kafka", "nats", "queue"]


def findings(capsys: pytest.CaptureFixture[str], file: Path, code: int) -> dict[str, str]:
    """Return what is said of each thing that was looked at, "" for what is as it must be."""
    out, _ = call(capsys, "check", file, "--json", code=code)
    return {each["what"]: "" if each["passes"] else each["detail"] for each in json.loads(out)}


def test_everything_is_there_but_one_function(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    found = findings(capsys, queue.bridge, 1)
    away = found.pop("route special")
    assert found == {"file": "", "source": "", "sink": "", "route double": ""}
    assert away.startswith("https://127.0.0.1:1/special?…: ")
    assert "secret" not in away
    assert queue.calls == []
    text, _ = call(capsys, "check", queue.bridge, code=1)
    assert [line.split()[0] for line in text.splitlines()] == [*["pass"] * 4, "FAIL"]


def test_topics_that_are_not_there(kafka: TestKafka, tmp_path: Path, capsys) -> None:
    file = tmp_path / "bridge.toml"
    (tmp_path / "func.py").write_text("")
    file.write_text(
        f'[source]\nkafka = "{kafka.address}"\ntopics = ["not-there"]\n[[route]]\n'
        'call = "func.py"\nreply = { topic = "nor-there" }\n'
    )
    found = findings(capsys, file, 1)
    assert "not-there does not exist" in found["source"]
    assert "nor-there does not exist" in found["sink"]


@pytest.mark.parametrize("kind", ["kafka", "nats"])
def test_nobody_listens(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bridge.toml"
    address = "127.0.0.1:1" if kind == "kafka" else "nats://127.0.0.1:1"
    file.write_text(
        f'[source]\n{kind} = "{address}"\ntopics = ["a"]\n[[route]]\ncall = "nowhere/func.py"\n'
    )
    found = findings(capsys, file, 1)
    assert "127.0.0.1:1" in found["source"]
    assert "127.0.0.1:1" in found["sink"]
    assert "nowhere" in found["route nowhere"]


def test_a_file_that_is_wrong_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(
        '[source]\nqueue = "q"\ntopics = ["a"]\n[[route]]\ncall = "http://x"\n'
        'reply = { topic = "a" }\n'
    )
    assert main(["bridge", "check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "route[0].reply.topic" in err
    assert err.count("\n") == 1


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A TLS server whose certificate is of another host, and who signed it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=elsewhere", "-addext", "subjectAltName=DNS:elsewhere"]
    made = [*command, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, suppress(OSError):
                        context.wrap_socket(sock, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], certificate
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_a_function_with_a_certificate_of_another_host(
    elsewhere: tuple[int, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its events would wait for ever: every connection is refused on our side."""
    port, certificate = elsewhere
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    file = tmp_path / "bridge.toml"
    file.write_text(
        '[source]\nqueue = "queue.db"\ntopics = ["a"]\n'
        f'[[route]]\nname = "f"\ncall = "https://127.0.0.1:{port}/f"\n'
    )
    assert "certificate" in findings(capsys, file, 1)["route f"].lower()

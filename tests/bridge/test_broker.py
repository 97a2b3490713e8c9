"""`gpfn bridge kafka`: a real broker of its own, up and down, and what stands in its way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpfn.bridge.kafka import jars
from gpfn.bridge.kafka.admin import LATEST, KafkaAdmin
from gpfn.bridge.kafka.broker import Broker
from gpfn.bridge.kafka.broker_settings import properties_text
from gpfn.cli.bridge_kafka import add_kafka_arguments, kafka
from gpfn.errors import DownloadFailed, GpfnError, SetupError
from tests.bridge.kafka_broker import QUICK

FACTS = ("address", "version", "pid", "folder", "ran", "topics")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run the command as its parser reads it, and return the object that it prints."""
    parser = ArgumentParser()
    add_kafka_arguments(parser)
    assert kafka(parser.parse_args([*words, "--json"])) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose broker ends with the test; its name is one that Java's files escape."""
    folder = tmp_path / "kafka, été: 1=\\x"
    yield folder
    if folder.exists():
        Broker(folder).kill()


def test_up_twice_and_down_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    up = ("--up", "--folder", str(folder), "--port", "0", "--topic", "readings:3", "--topic", "x")
    first = run(capsys, *up)
    assert tuple(first) == FACTS
    assert (first["ran"], first["version"]) == (False, "4.4.0")
    assert first["topics"] == [
        {"name": "readings", "partitions": 3, "made": True},
        {"name": "x", "partitions": 4, "made": True},
    ]
    KafkaAdmin({"bootstrap.servers": first["address"]}).connect()
    again = run(capsys, *up)
    assert (again["ran"], again["pid"], again["address"]) == (True, first["pid"], first["address"])
    assert [topic["made"] for topic in again["topics"]] == [False, False]
    own_group = os.getpgid(first["pid"]) != os.getpgid(0)
    assert own_group  # Ctrl-C in the terminal does not end it
    down = run(capsys, "--down", "--folder", str(folder))
    assert (down["ran"], down["pid"]) == (True, first["pid"])
    assert run(capsys, "--down", "--folder", str(folder))["ran"] is False
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(first["address"].partition(":")[2])))
    back = run(capsys, "--up", "--folder", str(folder))  # its port and its topics are kept
    assert back["address"] == first["address"]
    assert (
        KafkaAdmin({"bootstrap.servers": back["address"]}).topics(["readings"])[0].partitions == 3
    )
    run(capsys, "--down", "--folder", str(folder))


def test_what_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    add_kafka_arguments(parser)
    kafka(parser.parse_args(["--up", "--folder", str(folder), "--port", "0"]))
    told = capsys.readouterr()
    broker = Broker(folder)
    assert told.out.startswith(f"Kafka 4.4.0 answers at {broker.address};")
    assert f'next: gpfn bridge run bridge.toml, with kafka = "{broker.address}"' in told.out
    assert f"starting Kafka 4.4.0 at {broker.address}" in told.err
    kafka(parser.parse_args(["--down", "--folder", str(folder)]))
    assert capsys.readouterr().out.startswith(f"Kafka at {broker.address} has ended;")


def test_killed_and_paused_it_comes_back_with_its_data(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka", settings=QUICK)
    broker.start()
    try:
        admin = KafkaAdmin({"bootstrap.servers": broker.address})
        assert admin.create("a", 2)
        first, address = broker.pid, broker.address
        broker.kill()
        assert broker.pid is None
        broker.start()
        assert (broker.address, broker.pid != first) == (address, True)
        fresh = KafkaAdmin({"bootstrap.servers": broker.address})
        assert fresh.offsets([("a", 0), ("a", 1)], LATEST) == {("a", 0): 0, ("a", 1): 0}
        assert admin.topics(["a"])[0].partitions == 2
        broker.pause()
        with pytest.raises(GpfnError):
            KafkaAdmin({"bootstrap.servers": broker.address}, seconds=1.0).connect()
        assert broker.pid is not None
        broker.cont()
        admin.connect()
        broker.pause()
        assert broker.stop()  # one that is stopped where it is ends too
    finally:
        broker.kill()


def refused(folder: Path, **more: Any) -> SetupError:
    """Return the error with which it does not start, which it says at once."""
    began = time.monotonic()
    with pytest.raises(SetupError) as caught:
        Broker(folder, **more).start()
    assert time.monotonic() - began < 20
    return caught.value


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refused(tmp_path / "kafka", port=taken.getsockname()[1])
    assert error.field == "--port"
    assert "--port 0 takes a free one" in error.detail


def test_a_folder_of_another_version_or_damaged(tmp_path: Path) -> None:
    state = tmp_path / "kafka.json"
    state.write_text('{"version": "3.9.0", "pid": 1, "port": 9092}')
    error = refused(tmp_path)
    assert error.field == "--folder"
    assert "has the data of Kafka 3.9.0, this is 4.4.0" in error.detail
    for text in ("", "[]", '{"version": "4.4.0"}', '{"version": 1, "pid": "x", "port": 1}'):
        state.write_text(text)
        assert "is damaged" in refused(tmp_path).detail


def test_a_process_that_is_somebody_elses_is_not_ended(tmp_path: Path) -> None:
    """A process id of before a restart of the machine may be anybody's."""
    with subprocess.Popen(["sleep", "60"]) as other:
        state = {"version": "4.4.0", "pid": other.pid, "port": 1}
        (tmp_path / "kafka.json").write_text(json.dumps(state))
        broker = Broker(tmp_path)
        assert broker.pid is None
        assert not broker.stop()
        broker.kill()
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file" / "kafka").field == "--folder"


def test_a_broker_that_ends_says_why(tmp_path: Path) -> None:
    error = refused(tmp_path / "kafka", settings={"log.segment.bytes": "few"})
    assert "log.segment.bytes" in error.detail
    assert Broker(tmp_path / "kafka").pid is None


def test_no_java_or_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no java" in refused(tmp_path / "kafka").detail
    java = tmp_path / "java"
    for script, words in {
        "echo 'openjdk version \"11.0.2\"' >&2": "is version 11",
        "echo 'java version \"1.8.0_1\"' >&2": "is version 1;",
        "exit 3": "does not run",
        "echo hello": "does not run",
    }.items():
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        error = refused(tmp_path / "kafka")
        assert words in error.detail
        assert "Kafka needs Java 17 or newer" in error.detail


def test_a_topic_that_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a b", "a:0", "a:x", ":3", "a:1001", "a:-1"):
        with pytest.raises(SetupError) as caught:
            run(capsys, "--up", "--folder", str(folder), "--topic", text)
        assert caught.value.field == "--topic"
    with pytest.raises(SetupError, match="topics are made with --up"):
        run(capsys, "--down", "--folder", str(folder), "--topic", "a")
    assert not folder.exists()


def test_the_list_names_every_jar_once() -> None:
    lines = (Path(jars.__file__).with_name("jars.sha256")).read_text().splitlines()
    assert len(lines) == 45
    names = [line.split("  ")[1] for line in lines]
    assert names == sorted({*names})
    assert "kafka_2.13-4.4.0.jar" in names
    assert all(len(bytes.fromhex(line.split("  ")[0])) == 32 for line in lines)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, with the jars as links to those of this machine."""
    real = jars.kafka_jars(print)
    folder = tmp_path / "cache" / "kafka" / jars.KAFKA_VERSION
    folder.mkdir(parents=True)
    for path in real:
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_a_jar_that_is_another_is_not_run(cache: Path) -> None:
    assert len(jars.kafka_jars(print)) == 45
    stranger = cache / "stranger.jar"
    stranger.write_bytes(b"x")
    assert stranger not in jars.kafka_jars(print)
    victim = cache / "lz4-java-1.11.2.jar"
    data = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DownloadFailed, match=r"lz4-java-1.11.2.jar has sha256 .*remove .* and try"):
        jars.kafka_jars(print)
    victim.unlink()
    with pytest.raises(DownloadFailed, match=r"lz4-java-1.11.2.jar is absent"):
        jars.kafka_jars(print)


def maven(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of Maven."""
    program = folder / "bin" / "mvn"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_what_maven_fetches_is_checked_before_it_has_a_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.move(cache, source)
    put = 'for word; do case $word in -DoutputDirectory=*) to=${word#*=};; esac; done; mkdir "$to"'
    maven(tmp_path, f'{put}; cp {source}/* "$to"; echo x >"$to/kafka_2.13-4.4.0.jar"', monkeypatch)
    with pytest.raises(DownloadFailed, match=r"not what belongs here: kafka_2.13-4.4.0.jar"):
        jars.kafka_jars(print)
    assert not cache.exists()
    maven(tmp_path, "echo '[ERROR] no network'; exit 1", monkeypatch)
    with pytest.raises(DownloadFailed, match=r"mvn cannot fetch Kafka: \[ERROR\] no network"):
        jars.kafka_jars(print)
    maven(tmp_path, f'{put}; cp {source}/* "$to"; echo x >"$to/more.jar"', monkeypatch)
    lines: list[str] = []
    found = jars.kafka_jars(lines.append)
    assert lines == ["fetching Apache Kafka 4.4.0, once: 45 files, 43 MB"]
    assert {path.name for path in cache.iterdir()} == {path.name for path in found}
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    assert digest in Path(jars.__file__).with_name("jars.sha256").read_text()


def test_no_maven(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(cache)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="there is no mvn") as caught:
        jars.kafka_jars(print)
    assert caught.value.field == "mvn"


def test_values_are_escaped_as_java_reads_them() -> None:
    text = properties_text("h", 1, 2, {"a": "{port} {controller}", "b": "é\\\n€😀"})
    assert "a=1 2\n" in text
    assert "b=\\u00e9\\\\\\u000a\\u20ac\\ud83d\\ude00\n" in text
    assert text.isascii()

"""A server whose disk is full, or is not to be written."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.models_served import served
from tests.e2e.repository_served import repository_served, until
from tests.serving.repository.onnx_files import scaled


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; to make one takes the rights of root, which CI has."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "gpfn-test", str(place)]
    made = subprocess.run(command, capture_output=True, check=False)
    assert made.returncode == 0, f"run this as root: {made.stderr.decode()}"
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_an_upload_that_does_not_fit_is_told_and_leaves_nothing(tmp_path: Path, disk: Path) -> None:
    with repository_served(tmp_path, place=disk / "store", fails=True) as server:
        server.upload("before", scaled(7))
        for reply in (
            server.upload("m", bytes(12 << 20)),
            server.bundle(bytes(12 << 20)),
            server.server.ask(f"/repository/files/{'0' * 64}", bytes(12 << 20), "PUT"),
        ):
            assert reply.status == 507, reply
            assert b"No space left" in reply.body
            assert str(disk).encode() not in reply.body, "no path of the server"
            until(lambda: not server.left())
        assert server.factor("before") == 7
        server.is_well()


def test_a_repository_that_is_not_to_be_written_is_served(tmp_path: Path, disk: Path) -> None:
    place = disk / "store"
    with repository_served(tmp_path, place=place) as server:
        server.upload("before", scaled(7))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    audit = tmp_path / "audit.jsonl"
    with repository_served(tmp_path, "--audit-log", str(audit), place=place, fails=True) as server:
        assert server.factor("before") == 7
        reply = server.upload("m", scaled(2))
        assert (reply.status, "Read-only" in json.loads(reply.body)["error"]) == (503, True)
        reply = server.server.ask("/repository/models/before", method="DELETE")
        assert reply.status == 503
        assert server.factor("before") == 7


def test_a_place_that_cannot_be_made_is_told_at_the_start(tmp_path: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    (tmp_path / "file").write_bytes(b"")
    for place, reason in (
        (disk / "new", "Read-only file system"),
        (tmp_path / "file", "Not a directory"),
    ):
        log = tmp_path / "log"
        with pytest.raises(AssertionError), served(log, "--repository", str(place)):
            pass
        told = log.read_text()
        assert reason in told
        assert "Traceback" not in told
        assert "repository" in told

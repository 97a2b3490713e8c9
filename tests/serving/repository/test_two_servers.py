"""Two servers' stores over one bucket of a real S3 server: nothing that is uploaded gets lost."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpfn.repository.documents import Manifest, StoredFile, content_digest
from gpfn.serving.repository.object_store import open_objects
from gpfn.serving.repository.store import VersionStore
from tests.serving.repository.s3 import environment, s3_server

EACH = 100


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[VersionStore]]:
    with s3_server(tmp_path / "s3") as server:
        for name, value in environment(server.endpoint).items():
            monkeypatch.setenv(name, value)
        yield [VersionStore(open_objects("s3://models/x", tmp_path / name)) for name in "ab"]


def upload(store: VersionStore, content: bytes, who: str) -> Manifest:
    folder = store.objects.incoming()
    (folder / "m.tflite").write_bytes(content)
    files = (StoredFile("m.tflite", len(content), hashlib.sha256(content).hexdigest()),)
    draft = Manifest("digits", 0, content_digest(files), files, "m.tflite", "litert")
    made, existed = store.commit(draft, folder, who=who)
    assert not existed
    return made


def test_a_hundred_uploads_of_one_name_to_each(stores: list[VersionStore]) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda n: upload(stores[n % 2], b"%d" % n, f"w{n}"), range(2 * EACH)))
    assert sorted(one.version for one in made) == list(range(1, 2 * EACH + 1))
    for store in stores:
        store.look()
        versions = store.shelf("digits").versions
        assert {versions[one.version].digest for one in made} == {one.digest for one in made}
        assert all(versions[one.version].who == one.who for one in made)
    for number, one in enumerate(made):
        placed = stores[(number + 1) % 2].objects.place(one.digest, one.files)  # the other one's
        assert (placed / "m.tflite").read_bytes() == b"%d" % number


def test_tags_of_two_servers(stores: list[VersionStore]) -> None:
    for number in range(3):
        upload(stores[number % 2], b"%d" % number, "x")
    with ThreadPoolExecutor(20) as pool:
        list(
            pool.map(lambda n: stores[n % 2].tag("digits", f"t{n}", n % 3 + 1, who="x"), range(100))
        )
    for store in stores:
        store.look()
        assert store.shelf("digits").all_tags == {f"t{n}": n % 3 + 1 for n in range(100)}

"""Files go and come once: what is there is not sent again, and nothing is mixed."""

from pathlib import Path

import pytest

from gpfn.errors import BrokenReply, CannotConnect, RefusedByModel, SetupError
from gpfn.repository.answers import PushAnswer, PushQuestion
from gpfn.repository.client import RepositoryClient, model_reference
from gpfn.repository.documents import StoredFile
from gpfn.repository.transfer import pull_version, push_files
from tests.repository.making import stored
from tests.repository.serving import Shelves

QUESTION = PushQuestion((), "m.tflite", "labels.txt", {"a": 1}, "stable")
Told = list[tuple[str, int, int | None]]


@pytest.fixture
def client(shelves: Shelves) -> RepositoryClient:
    """A client of it that never waits for long."""
    return RepositoryClient(shelves.url, stall=20, timeout=20)


def written(folder: Path, **contents: bytes) -> dict[str, Path]:
    """Write files and return them by their names in a version."""
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {f"{name}.tflite" if name == "m" else f"{name}.txt": folder / name for name in contents}


def pushed(client: RepositoryClient, folder: Path, **contents: bytes) -> PushAnswer:
    """Push a model and its labels."""
    return push_files(client, "digits", written(folder, **contents), QUESTION)


def test_a_push_sends_what_is_missing(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    told: Told = []
    model = bytes(range(256)) * 10_000
    files = written(tmp_path, m=model, labels=b"a\n", empty=b"")
    answer = push_files(client, "digits", files, QUESTION, progress=lambda *at: told.append(at))
    assert (answer.version, answer.existed, answer.notes) == (1, False, ("a note",))
    assert answer.tags == {"stable": 1}
    kept = shelves.versions["digits"][1]
    assert (kept["model"], kept["labels"], kept["params"]) == ("m.tflite", "labels.txt", {"a": 1})
    assert shelves.files[stored("", model).sha256] == model
    assert {name: have for name, have, total in told if have == total} == {
        "m.tflite": len(model),
        "labels.txt": 2,
        "empty.txt": 0,
    }
    assert len([at for at in told if at[0] == "m.tflite"]) == 3, "it goes in pieces"
    shelves.asked.clear()
    assert pushed(client, tmp_path, m=model, labels=b"a\n", empty=b"").existed
    assert shelves.asked == ["POST /repository/models/digits/versions"]
    shelves.asked.clear()
    assert pushed(client, tmp_path, m=b"new", labels=b"a\n", empty=b"").version == 2
    assert [line[:3] for line in shelves.asked] == ["POS", "PUT", "POS"]


def test_a_pull_fetches_one_version(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    pushed(client, tmp_path / "a", m=b"one", labels=b"a\n")
    push_files(client, "digits", written(tmp_path / "a", m=b"two"), PushQuestion(()))
    folder = tmp_path / "deep" / "down"
    found = pull_version(client, "digits", "stable", folder)
    assert (found.manifest.version, found.model) == (1, folder / "m.tflite")
    assert (folder / "m.tflite").read_bytes() == b"one"
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "m.tflite"]
    assert all("/versions/1/files/" in line for line in shelves.asked if line.endswith("tflite"))
    shelves.asked.clear()
    pull_version(client, "digits", "1", folder)
    assert shelves.asked == ["GET /repository/models/digits"], "nothing is fetched twice"
    assert pull_version(client, "digits", "latest", tmp_path / "l").manifest.version == 2


def test_a_pull_replaces_what_it_brought_and_nothing_else(
    client: RepositoryClient, tmp_path: Path
) -> None:
    pushed(client, tmp_path / "a", m=b"one", labels=b"a\n")
    folder = tmp_path / "out"
    pull_version(client, "digits", "1", folder)
    pushed(client, tmp_path / "a", m=b"two", labels=b"a\n")
    pull_version(client, "digits", "latest", folder)
    assert (folder / "m.tflite").read_bytes() == b"two"
    (folder / "mine.txt").write_text("x")
    with pytest.raises(SetupError, match=r"has mine\.txt, which is not of this version"):
        pull_version(client, "digits", "1", folder)
    assert (folder / "m.tflite").read_bytes() == b"two"
    (folder / "mine.txt").unlink()
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").symlink_to("/etc/hostname")
    with pytest.raises(SetupError):
        pull_version(client, "digits", "1", folder)
    with pytest.raises(SetupError):
        pull_version(client, "digits", "1", tmp_path / "a" / "m")


def test_a_whole_folder_is_a_model(client: RepositoryClient, tmp_path: Path) -> None:
    files = {"saved_model.pb": tmp_path / "a", "variables/x.index": tmp_path / "b"}
    for place in files.values():
        place.write_bytes(place.name.encode())
    push_files(client, "saved", files, PushQuestion((), model="."))
    found = pull_version(client, "saved", "latest", tmp_path / "out")
    assert found.model == tmp_path / "out"
    assert (tmp_path / "out" / "variables" / "x.index").read_bytes() == b"b"


def test_an_unknown_version_is_told_with_the_known_ones(
    client: RepositoryClient, tmp_path: Path
) -> None:
    pushed(client, tmp_path, m=b"one", labels=b"a\n")
    with pytest.raises(SetupError, match="digits has no 'old'; there are 1, stable"):
        pull_version(client, "digits", "old", tmp_path / "out")
    with pytest.raises(RefusedByModel, match="no model none"):
        pull_version(client, "none", "latest", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_transfer_that_breaks_goes_on(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    model = b"x" * 3_000_000
    files = written(tmp_path / "a", m=model)
    shelves.failures[:] = [(409, b'{"missing":["' + stored("", model).sha256.encode() + b'"]}')]
    shelves.failures += [(0, b""), (503, b"")]
    assert push_files(client, "digits", files, PushQuestion(())).version == 1
    shelves.cut = 1_000_000
    pull_version(client, "digits", "latest", tmp_path / "out")
    assert (tmp_path / "out" / "m.tflite").read_bytes() == model


def test_what_comes_is_checked(client: RepositoryClient, shelves: Shelves, tmp_path: Path) -> None:
    pushed(client, tmp_path / "a", m=b"one", labels=b"a\n")
    for content in (b"two", b"on", b"onee"):
        shelves.files[stored("", b"one").sha256] = content
        with pytest.raises(BrokenReply):
            pull_version(client, "digits", "latest", tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


def test_a_file_that_changes_meanwhile(client: RepositoryClient, tmp_path: Path) -> None:
    files = written(tmp_path, m=b"x" * 100)

    def push(name: str, question: PushQuestion) -> tuple[str, ...]:
        files["m.tflite"].write_bytes(b"x")
        return (question.files[0].sha256,)

    client.push = push  # type: ignore[method-assign]
    with pytest.raises(SetupError, match="shorter"):
        push_files(client, "digits", files, PushQuestion(()))
    with pytest.raises(SetupError, match="cannot be read"):
        push_files(client, "digits", {"a": tmp_path / "none"}, PushQuestion(()))


def test_a_server_that_asks_for_the_wrong_or_for_ever(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    shelves.failures.append((409, b'{"missing":["' + b"0" * 64 + b'"]}'))
    with pytest.raises(BrokenReply, match="not of this version"):
        pushed(client, tmp_path, m=b"one", labels=b"")
    again = stored("", b"one").sha256.encode()
    shelves.failures += [(409, b'{"missing":["' + again + b'"]}'), (204, b"")] * 3
    with pytest.raises(BrokenReply, match="again"):
        pushed(client, tmp_path, m=b"one", labels=b"")


def test_what_is_refused_says_what_to_do(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    shelves.token = "gpfn_secret"
    with pytest.raises(RefusedByModel, match=r"no token \(401 .*GPFN_TOKEN"):
        pushed(client, tmp_path, m=b"one", labels=b"")
    known = RepositoryClient(shelves.url, token="gpfn_secret")
    assert pushed(known, tmp_path, m=b"one", labels=b"").version == 1
    assert "secret" not in repr(known)
    shelves.failures += [(404, b'{"detail":"no such path: /"}'), (422, b"plain\nwords"), (302, b"")]
    with pytest.raises(RefusedByModel, match="is it gpfn serve --repository"):
        known.models()
    with pytest.raises(RefusedByModel, match=r"plain words \(422") as refused:
        known.models()
    assert refused.value.code == 422
    with pytest.raises(BrokenReply, match="302"):
        known.models()


@pytest.mark.parametrize(
    "reply", [b"", b"x", b"[]", b'{"models":7}', b'{"models":[{"name":"../x"}]}', b"[" * 2000]
)
def test_a_reply_that_cannot_be_read(
    client: RepositoryClient, shelves: Shelves, reply: bytes
) -> None:
    shelves.failures += [(200, reply)]
    with pytest.raises(BrokenReply):
        client.models()


def test_nobody_there(tmp_path: Path) -> None:
    client = RepositoryClient("http://127.0.0.1:1")
    for ask in (
        client.models,
        lambda: client.send_file("0" * 64, [b"x"], 1),
        lambda: client.receive_file("m", 1, StoredFile("a", 1, "0" * 64), bytes),
    ):
        with pytest.raises(CannotConnect, match=r"http://127\.0\.0\.1:1: .*refused"):
            ask()


def test_the_rest_of_what_can_be_asked(
    client: RepositoryClient, shelves: Shelves, tmp_path: Path
) -> None:
    for content in (b"one", b"two"):
        pushed(client, tmp_path, m=content, labels=b"a\n")
    (summary,) = client.models()
    assert (summary.name, summary.latest, summary.tags) == ("digits", 2, {"stable": 2})
    assert [each.size for each in summary.versions] == [5, 5]
    assert client.tag("digits", "old", 1) == {"stable": 2, "old": 1}
    assert client.tag("digits", "old", None) == {"stable": 2}
    assert client.delete("digits", "2") == (2,)
    history = client.model("digits")
    assert (history.latest, [each.version for each in history.trash]) == (1, [2])
    assert [change.tag for change in history.history] == ["stable", "stable", "old", "old"]
    assert client.restore("digits", 2).version == 2
    assert client.delete("digits") == (1, 2)
    assert client.models()[0].latest == 0
    with client:
        pass


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:9000/digits", ("http://h:9000", "digits", "latest")),
        ("https://h/base/x/digits@stable", ("https://h/base/x", "digits", "stable")),
        ("http://u:p@h/a@3/", ("http://u:p@h", "a", "3")),
    ],
)
def test_a_model_by_its_url(url: str, expected: tuple[str, ...]) -> None:
    assert tuple(model_reference(url)) == expected


@pytest.mark.parametrize(
    "url", ["http://h", "http://h/", "http://h/.a", "http://h/a@", "http://h/a?b=c", "h/a", "x:a"]
)
def test_what_is_no_model_by_its_url(url: str) -> None:
    with pytest.raises(SetupError):
        model_reference(url)

"""What the real TFaaS server lets anybody do, and ours nobody.

Each test is an attack, or an accident, that succeeds there; what it does there is said. Programs
in models and archives of other kinds are tried beside what refuses them.
"""

import gzip
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pytest

from gpfn.tfaas.messages import encode_row_message
from tests.e2e.tfaas.ours import Running, serving, until_nothing_is_on_its_way
from tests.e2e.tfaas.recordings import Answer
from tests.serving.forms import FORM, form, upload_form
from tests.serving.repository.archives import gzipped, raw_tar, tar_of
from tests.serving.repository.onnx_files import scaled

PATHS = (
    "../models/m", "..", ".", "/etc", "a/b", "m/", "m\\..", "..%2fm", "%2e%2e", "m\0", "m\u0131",
)  # fmt: skip
"""What no model is called; the last one has a Turkish letter that looks like an i."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("holes")
    (folder / "secret").write_text("any file of the machine")
    with serving(folder, "--max-upload", "4MiB") as running:
        assert upload(running, "m", scaled(2), labels=("labels.txt", b"a\nb\nc\n")).status == 200
        yield running


@pytest.fixture(autouse=True)
def unharmed(served: Running) -> Iterator[None]:
    """After each attack the model answers, there is no other one, and no file more."""
    before = files(served)
    yield
    until_nothing_is_on_its_way(served)
    assert ask(served) == (200, [2, 4, 6])
    listed = json.loads(served.wire.send("GET", "/models").body)
    assert [(model["name"], model["versions"]) for model in listed] == [("m", [1])]
    assert files(served) == before


def files(served: Running) -> list[str]:
    """Return all files around the store."""
    top = served.store.parent
    found = (path for path in top.rglob("*") if not path.is_relative_to(served.store))
    return sorted(map(str, found))


def upload(served: Running, name: str, model: bytes, **more: str | tuple[str, bytes]) -> Answer:
    body = upload_form(name, model, **more)
    return served.wire.send("POST", "/upload", body, content_type=FORM)


def bundle(served: Running, archive: bytes) -> Answer:
    return served.wire.send("POST", "/upload", archive, content_encoding="gzip")


def ask(served: Running, **row: object) -> tuple[int, object]:
    body = json.dumps({"values": [1, 2, 3], "model": "m", **row}).encode()
    answer = served.wire.send("POST", "/json", body)
    return answer.status, json.loads(answer.body)


MODEL = raw_tar(b"x/m.onnx", scaled(1))
ARCHIVES: Mapping[str, bytes] = {
    "out of its folder": raw_tar(b"../escaped.txt", b"x") + MODEL,
    "out of its folder, later": MODEL + raw_tar(b"x/../../escaped.txt", b"x"),
    "an absolute name": raw_tar(b"/tmp/gpfn-escaped", b"x") + MODEL,
    "a link to a file": MODEL + raw_tar(b"x/l", kind=b"2"),
    "another name of a file": MODEL + raw_tar(b"x/l", kind=b"1"),
    "a device": MODEL + raw_tar(b"x/zero", kind=b"3"),
    "a pipe that nobody writes": raw_tar(b"x/m.onnx", kind=b"6"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_stays_in_its_folder(served: Running, what: str) -> None:
    """There: `filepath.Join` cleans names and does not confine them; links are followed."""
    answer = bundle(served, gzipped(ARCHIVES[what]))
    assert answer.status == 400, answer
    assert not os.path.exists("/tmp/gpfn-escaped")


def test_an_archive_is_not_unpacked_for_ever(served: Running) -> None:
    """There: no limit, of no kind."""
    bomb = gzipped(raw_tar(b"x/m.onnx", bytes(256 << 20)))
    assert len(bomb) < 1 << 20
    assert bundle(served, bomb).status == 413
    many = gzipped(b"".join(raw_tar(b"x/%d" % number) for number in range(12_000)))
    assert bundle(served, many).status == 413


def test_modes_are_not_the_archives(served: Running) -> None:
    """There: files get the mode that the archive says, setuid and all."""
    answer = bundle(served, gzip.compress(raw_tar(b"other/m.onnx", scaled(3), mode=0o6777)))
    assert answer.status == 200, answer
    modes = {path.stat().st_mode & 0o7111 for path in served.store.rglob("*") if path.is_file()}
    assert modes == {0}
    path = "/repository/models/other"
    assert served.wire.send("DELETE", path).status == 200


@pytest.mark.parametrize("path", ["/etc/hostname", "/etc", "secret", "../secret", "repository"])
def test_no_file_of_the_machine_is_told(served: Running, path: str) -> None:
    """There: `/data?model=` gives any file, of the whole machine."""
    up = quote("../../", safe="")
    for target in (
        f"/data?model={path}",
        f"/params/{quote(path, safe='')}",
        f"/download/../{path}",
        f"/download/m/{path}",
        f"/download/m/../../{path}",
        f"/download/m/{up}{path}",
        f"/repository/models/m/versions/1/files/{path}",
        f"/repository/models/m/versions/1/files/{up}{path}",
    ):
        answer = served.wire.send("GET", target)
        assert answer.status in (400, 404), (target, answer)
        assert b"any file" not in answer.body


@pytest.mark.parametrize("name", PATHS)
def test_a_name_makes_no_folder(served: Running, name: str) -> None:
    """There: the folder of a form's name is made at once, wherever that is."""
    assert upload(served, name, scaled(1)).status == 400
    target = f"/upload?name={quote(name, safe='')}"
    assert served.wire.send("POST", target, tar_of({"x/m.onnx": scaled(1)})).status == 400


@pytest.mark.parametrize("name", [name for name in PATHS if name != "a/b"])
def test_a_file_of_a_form_has_a_plain_name(served: Running, name: str) -> None:
    """There: a name is cut at `/` and no other sign, so that `..\\x` is one."""
    body = form({"name": "other", "model": (f"{name}/..", scaled(1))})
    assert served.wire.send("POST", "/upload", body, content_type=FORM).status == 400


def test_labels_do_not_take_the_place_of_the_parameters(served: Running) -> None:
    """There: labels called params.json are written over them, and so is the model."""
    params = ("params.json", b"{}")
    assert upload(served, "other", scaled(1), params=params, labels=params).status == 400
    parts = {"name": "other", "params": params, "model": ("params.json", scaled(1))}
    assert served.wire.send("POST", "/upload", form(parts), content_type=FORM).status == 400
    twice = {"name": "other", "model": ("a.onnx", scaled(1)), "labels": ("a.onnx", b"a\n")}
    assert served.wire.send("POST", "/upload", form(twice), content_type=FORM).status == 400


@pytest.mark.parametrize("name", PATHS)
def test_a_name_of_a_model_is_no_path(served: Running, name: str) -> None:
    """There: it is joined to the folder of models, and what is there is opened."""
    assert ask(served, model=name)[0] in (400, 404)
    row = encode_row_message([1.0, 2.0, 3.0], model=name)
    assert served.wire.send("POST", "/proto", row).status in (400, 404)
    picture = form({"model": name, "image": ("f.png", b"x")})
    assert served.wire.send("POST", "/image", picture, content_type=FORM).status in (400, 404)
    wanted = form({"model": name})
    assert served.wire.send("DELETE", "/delete", wanted, content_type=FORM).status in (400, 404)
    for target in ("/delete/", "/delete?model="):
        answer = served.wire.send("DELETE", target + quote(name, safe=""))
        assert answer.status in (400, 404), (target, answer)
    assert served.wire.send("GET", f"/params/{quote(name, safe='')}").status in (400, 404)


def test_two_uploads_at_once_do_not_mix(served: Running) -> None:
    """There: both are written to one file, $TMPDIR/bundle.tar."""
    names = [f"n{number}" for number in range(6)]
    answers: dict[str, Answer] = {}

    def send(name: str, factor: int) -> None:
        answers[name] = bundle(served, gzip.compress(tar_of({f"{name}/m.onnx": scaled(factor)})))

    sending = [
        threading.Thread(target=send, args=(name, 2 + factor)) for factor, name in enumerate(names)
    ]
    for thread in sending:
        thread.start()
    for thread in sending:
        thread.join()
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(names, 200)
    for factor, name in enumerate(names):
        assert ask(served, model=name) == (200, [2 + factor, 4 + 2 * factor, 6 + 3 * factor])
        assert served.wire.send("DELETE", f"/delete/{name}").status == 200


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.95])
def test_half_an_upload_is_none(served: Running, kept: float) -> None:
    """There: its folder stays, and from then on the list of models is an error."""
    body = upload_form("other", scaled(3) + bytes(100_000))
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((served.wire.host, served.wire.port), 30) as connection:
        connection.sendall(head.encode() + body[: int(len(body) * kept)])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass  # until the server has given up
    assert served.wire.send("GET", "/models").status == 200


def test_an_upload_that_fails_leaves_nothing(served: Running) -> None:
    """There: what was written before the error stays, and breaks the list."""
    mismatched = ("params.json", b'{"name": "three"}')
    assert upload(served, "other", scaled(1), params=mismatched).status == 400
    assert upload(served, "other", scaled(1)[:60]).status == 422
    assert upload(served, "other", b"print('hello')").status == 415
    assert upload(served, "other", scaled(1), params=("params.json", b"{")).status == 400


def test_an_upload_has_a_size(served: Running) -> None:
    """There: none; parts over 32 MB fill the folder for temporary files."""
    answer = upload(served, "other", bytes(5 << 20))
    assert answer.status == 413
    assert b"--max-upload" in answer.body or b"4194304" in answer.body


def test_only_files_of_the_manifest_are_told(served: Running) -> None:
    """There: `/download/` lists all folders, and gives whatever is in them."""
    for target in ("/download", "/download/", "/download/m", "/download/m/"):
        answer = served.wire.send("GET", target)
        assert answer.status == 404, target
        assert b"onnx" not in answer.body


def test_a_page_of_an_upload_is_none_of_ours(served: Running) -> None:
    """There: a file of an upload is shown as what its suffix says, with our page's rights."""
    page = b"<script>fetch('/delete/m', {method: 'DELETE'})</script>"
    answer = upload(served, "other", scaled(3), file=("page.html", page))
    assert answer.status == 200, answer
    told = served.wire.send("GET", "/download/other/page.html")
    assert told.body == page
    assert told.headers["content-type"] == "application/octet-stream"
    assert told.headers["content-disposition"].startswith("attachment")
    assert told.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in told.headers["content-security-policy"]
    assert served.wire.send("DELETE", "/delete/other").status == 200


def test_another_site_changes_nothing(served: Running) -> None:
    """There: any page that a user's browser shows may upload and delete."""
    body = upload_form("other", scaled(3))
    for headers in ({"origin": "http://evil.test"}, {"sec_fetch_site": "cross-site"}):
        answer = served.wire.send("POST", "/upload", body, content_type=FORM, **headers)
        assert answer.status == 403
        assert served.wire.send("DELETE", "/delete/m", **headers).status == 403
    rebound = served.wire.send("DELETE", "/delete/m", host="evil.test", origin="http://evil.test")
    assert rebound.status == 403


def test_errors_show_no_place_of_the_server(served: Running) -> None:
    """There: `unable to untar /tmp/bundle.tar`, or the connection is cut without a word."""
    place = str(served.store.parent).encode()
    for answer in (
        bundle(served, b"no archive"),
        bundle(served, gzip.compress(b"no archive")),
        bundle(served, gzip.compress(tar_of({"x/m.onnx": scaled(1)[:60]}))),
        upload(served, "other", scaled(1)[:60]),
        upload(served, "other", b"\x80\x04K\x01."),
        served.wire.send("POST", "/json", b"["),
        served.wire.send("POST", "/image", b"", content_type=FORM),
    ):
        assert 400 <= answer.status < 500, answer
        assert place not in answer.body
        assert b"/tmp" not in answer.body
        assert json.loads(answer.body)["error"]


def test_what_is_no_number_is_an_error(served: Running) -> None:
    """There: 200 and an empty body."""
    for values in ([3e38, 3e38, 3e38], [-3e38, 1, 1]):
        status, told = ask(served, values=values)
        assert (status, "error" in told) == (502, True), told  # type: ignore[operator]


def test_nobody_chooses_the_model_of_all_others(served: Running) -> None:
    """There: POST /params does, and so does each upload of a form."""
    upload(served, "other", scaled(9))
    assert ask(served, model="")[0] == 400
    assert served.wire.send("POST", "/params", b'{"name": "other"}').status == 403
    assert ask(served, model="")[0] == 400
    assert served.wire.send("DELETE", "/delete/other").status == 200
    assert ask(served, model="") == (200, [2, 4, 6])

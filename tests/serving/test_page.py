"""The page at / for people: what it shows, that it shows it as text, and that its commands run."""

import base64
import json
import re
import subprocess
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import gpfn.serving.page
from gpfn.models import PythonModel, declare
from gpfn.serving import Server, ServerSettings
from gpfn.tensors.spec import TensorSpec

from .serving import Doubler, Running, message, response, running

HOSTILE = "<script>alert(1)</script>"
X = np.array([[1, 2]], np.float32)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.commands: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "pre":
            self.commands.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
        elif "pre" in self._open:
            self.commands[-1] += data
        else:
            self.texts.append(data)

    @property
    def hrefs(self) -> list[str]:
        return [value for name, value in self.attributes if name == "href"]


def asked(run: Running, path: str = "/", **headers: str) -> Page:
    status, _, body = run.ask("GET", path, accept="text/html,*/*;q=0.8", **headers)
    assert status == 200, body
    return Page(body.decode())


def served(models: dict[str, object], **changes: object) -> Running:
    server = Server(models, ServerSettings(port=0, **changes))
    server.start()
    return Running(server, server.address[1])


def test_it_loads_nothing_and_runs_nothing() -> None:
    with running(Doubler()) as run:
        _, headers, body = run.ask("GET", accept="text/html")
    page = Page(body.decode())
    digest = base64.b64encode(sha256(page.style.encode()).digest()).decode()
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert not {"script", "link", "img", "iframe", "form"} & {*page.tags}
    assert not [name for name, _ in page.attributes if name in ("src", "style") or name[:2] == "on"]
    assert [*{href[0] for href in page.hrefs}] in (["/", "#"], ["#", "/"])
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_programs_get_json_as_before() -> None:
    with running(Doubler()) as run:
        status, headers, body = run.ask("GET", accept="*/*")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body)["models"] == ["model"]


def test_it_tells_models_their_ends_and_what_was_counted() -> None:
    with running(Doubler()) as run:
        for _ in range(3):
            run.infer(X)
        page = asked(run)
    words = " ".join(page.texts)
    assert "model" in words
    assert "ready" in words
    for told in ("x", "y", "FP32", "[n, 2]", "version 1", "python"):
        assert told in page.texts or told in words
    (row,) = re.findall(r"Mean duration (\S+) 1 +ready 3 0 (\S+)", re.sub(r"\s+", " ", words))
    assert row[0] == "model"
    assert float(row[1]) > 0
    for place in ("/metrics", "/v2", "/v1/models", "/v2/models/model"):
        assert place in page.hrefs


def test_hostile_names_are_text() -> None:
    ends = {HOSTILE: TensorSpec("float32", (None, 2))}, {"\"'><img src=x>": TensorSpec("float32")}

    @declare(*ends)
    def double(x: np.ndarray) -> np.ndarray:
        return x * 2

    run = served({HOSTILE: PythonModel(double)})
    try:
        page = asked(run)
        assert not {"script", "img"} & {*page.tags}
        assert page.texts.count(HOSTILE) == 3, "in the list, at its head, as an input"
        assert "\"'><img src=x>" in page.texts
        assert "/v2/models/%3Cscript%3Ealert%281%29%3C%2Fscript%3E" in page.hrefs
        assert len(page.commands) == 3
    finally:
        run.stop()


@pytest.mark.parametrize("host", ["evil<script>", "a b", "$(id)", "x';id;'", "a:123456", "[::1"])
def test_a_host_that_can_be_none_is_not_repeated(host: str) -> None:
    """Some of them the reader of HTTP refuses already."""
    with running(Doubler()) as run:
        status, _, body = run.ask("GET", accept="text/html", host=host)
        commands = Page(body.decode()).commands
    assert (status, len(commands)) in ((200, 3), (400, 0))
    assert all(" http://127.0.0.1:0/" in command for command in commands), "as the settings say"
    assert host not in body.decode()


@pytest.mark.parametrize("host", ["models.example:8443", "[::1]:9000", "10.0.0.1"])
def test_commands_use_the_name_that_the_browser_used(host: str) -> None:
    with running(Doubler()) as run:
        page = asked(run, host=host)
        assert all(f"http://{host}/" in command for command in page.commands)


def test_the_commands_run_as_they_stand(root: Path, tmp_path: Path) -> None:
    @declare(
        {"it's": TensorSpec("string", (None,)), "b": TensorSpec("bool", (None, 2))},
        {"n": TensorSpec("float32", (None, 2))},
    )
    def count(*arrays: np.ndarray) -> np.ndarray:
        texts, flags = arrays
        return flags + np.array([[len(text)] for text in texts], np.float32)

    @declare({"x": TensorSpec("float32", (7, 30))}, {"y": TensorSpec("float32", (1,))})
    def fixed(x: np.ndarray) -> np.ndarray:
        return x.sum(keepdims=True)[0] + 5

    models = {
        "digits": str(root / "models" / "digits.tflite"),
        "forecast": str(root / "models" / "forecast.tflite"),
        "texts": PythonModel(count),
        "fixed": PythonModel(fixed),
    }
    run = served(models)
    try:
        commands = asked(run, host=f"127.0.0.1:{run.port}").commands
        assert len(commands) == 12
        for text in commands:
            ran = subprocess.run(
                ["bash", "-c", text], cwd=tmp_path, capture_output=True, timeout=20, check=False
            )
            assert (ran.returncode, ran.stderr) == (0, b""), text
            name = re.search(r"/(?:v2/models|v1/models|graphpipe)/(\w+)", text)
            assert name
            values = answer_of(text, ran.stdout, tmp_path)
            assert values.size == {"digits": 10, "forecast": 20, "texts": 2, "fixed": 1}[name[1]]
            if name[1] == "texts":
                np.testing.assert_array_equal(values.ravel(), [4, 4])
            if name[1] == "fixed":
                np.testing.assert_array_equal(values, [5])
        totals = {name: run.service.library.find(name).statistics.totals() for name in models}
        assert {name: each.success for name, each in totals.items()} == dict.fromkeys(models, 3)
    finally:
        run.stop()


def answer_of(command: str, output: bytes, folder: Path) -> np.ndarray:
    if "graphpipe" in command:
        return response((folder / "answer.bin").read_bytes()).tensors[0]
    document = json.loads(output)
    if "outputs" in document and "model_name" in document:
        return np.array(document["outputs"][0]["data"])
    return np.array(document.get("predictions", document.get("outputs")))


def test_a_model_that_tells_no_inputs_has_no_commands() -> None:
    with running(PythonModel(lambda *arrays: arrays[0])) as run:
        page = asked(run)
        assert page.commands == []
        assert "It does not tell." in page.texts


def test_very_large_inputs_have_no_commands() -> None:
    for spec in (TensorSpec("float32", (None, 1000, 1000)), TensorSpec("string", (None, 65))):

        @declare({"x": spec}, {"y": TensorSpec("float32")})
        def first(x: np.ndarray) -> np.ndarray:
            return x[:, 0]

        with running(PythonModel(first)) as run:
            assert asked(run).commands == []


def test_why_a_model_is_not_served_is_told_without_folders(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"<b>no model</b>")
    server = Server({"broken": str(tmp_path / "broken.tflite")}, ServerSettings(port=0))
    server.begin()
    run = Running(server, server.address[1])
    try:
        texts: list[str] = []
        while "failed" not in texts:
            texts = asked(run).texts
        (reason,) = [text for text in texts if "expected a LiteRT model" in text]
        assert "<b>no model" in reason
        assert str(tmp_path) not in reason
        assert "not ready" in texts
    finally:
        run.stop()


def test_of_many_models_some_are_shown_and_any_can_be() -> None:
    run = served({f"m{index:03}": Doubler() for index in range(60)})
    try:
        body = run.ask("GET", accept="text/html")[2]
        page = Page(body.decode())
        assert len(body) < 150_000
        assert len(page.commands) == 24 * 3
        assert "/?model=m059" in page.hrefs
        one = asked(run, "/?model=m059")
        assert ["m059" in command for command in one.commands] == [True] * 3
        assert len(asked(run, "/?model=%3Cb%3E").commands) == 24 * 3, "there is no such model"
    finally:
        run.stop()


def test_with_tokens_it_is_for_those_who_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"team predict {sha256(b's3cret').hexdigest()}\n")
    path.chmod(0o600)
    with running(Doubler(), tokens=str(path)) as run:
        status, headers, body = run.ask("GET", accept="text/html")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert b"model" not in body
        page = asked(run, authorization="Bearer s3cret")
        assert all('-H "authorization: Bearer $TOKEN"' in text for text in page.commands)
        assert "s3cret" not in "".join(page.commands)


def brightness(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_all_text_can_be_read_in_light_and_dark() -> None:
    style = Path(gpfn.serving.page.__file__).with_name("page.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    pairs = [(fore, back) for fore in ("text", "muted", "accent") for back in ("page", "surface")]
    pairs += [
        (kind, back) for kind in ("ok", "warn", "bad") for back in (f"{kind}-tint", "surface")
    ]
    pairs += [("text", "sunken"), ("muted", "sunken")]
    for part in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part))
        for fore, back in pairs:
            low, high = sorted(brightness(colours[name]) for name in (fore, back))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (fore, back)


def test_the_answer_to_head_has_no_body() -> None:
    with running(Doubler()) as run:
        status, headers, body = run.ask("HEAD", accept="text/html")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 1000
        assert run.ask("POST", body=message(X))[0] == 200

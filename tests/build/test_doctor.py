"""The doctor's rules: each finds its fault, and none in our own functions."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gpfn.build.doctor import RULES, Finding, examine
from gpfn.build.facts import Facts, ImageFacts, gather
from gpfn.build.measure import Measured, measure
from gpfn.build.models import Asked, ask_function
from gpfn.build.sample import read_sample
from gpfn.build.trial import try_out
from gpfn.cli.main import main
from gpfn.hosts.target import find_target
from tests.conftest import ROOT

GOOD = Measured(start=0.1, memory=50 << 20, threads=2)
IMAGE = ImageFacts("f:1", 100_000_000, "1000:1000", (), {"gpfn.platform": "fn"})
CODE = """\
from gpfn import Function
f = Function(lambda message: message.body, takes="message")
handler = f.fn
"""


def function(
    folder: Path, *, code: str = CODE, yaml: str = "", dockerfile: str = "", wants: str = ""
) -> Facts:
    """Return the facts of a function of these files, measured as good."""
    (folder / "func.py").write_text(code)
    (folder / "func.yaml").write_text(f"name: f\nversion: 0.0.1\n{yaml}")
    if dockerfile:
        (folder / "Dockerfile").write_text(dockerfile)
    if wants:
        (folder / "requirements.txt").write_text(wants)
    return gather(find_target(str(folder)), measured=GOOD, image=IMAGE)


def only(findings: list[Finding]) -> Finding:
    """Return the one finding."""
    assert len(findings) == 1, findings
    return findings[0]


def test_a_good_function_has_nothing(tmp_path: Path) -> None:
    assert examine(function(tmp_path)) == []


FILES = [
    (
        "memory",
        "fails",
        "openwhisk",
        {"yaml": "memory: 1024\n"},
        "over OpenWhisk's usual limit of 512",
    ),
    ("memory", "fails", "all", {"yaml": "memory: 40\n"}, "40 in func.yaml, and it uses 50 MiB"),
    ("memory", "warns", "all", {"yaml": "memory: 55\n"}, "leaves little room over 50 MiB"),
    ("volumes", "fails", "fn", {"dockerfile": "FROM a:1\nVOLUME /data\n"}, "VOLUME"),
    ("user", "warns", "all", {"dockerfile": "FROM a:1\nUSER 1000\nUSER root\n"}, "USER root"),
    ("tags", "warns", "all", {"dockerfile": "FROM python\n"}, "FROM python is another"),
    ("tags", "warns", "all", {"dockerfile": "FROM a:5000/b:latest\n"}, "another image every day"),
    ("tags", "warns", "fn", {"yaml": "run_image: fnproject/python\n"}, "run_image"),
    ("dockerfile", "fails", "fn", {"yaml": "runtime: docker\n"}, "there is no Dockerfile"),
    ("dockerfile", "fails", "fn", {"yaml": "runtime: python\n"}, "needs fdk"),
    ("requirements", "fails", "fn", {"wants": "fdk\nuvloop>=0.2\n"}, "stock fdk dies"),
    ("requirements", "warns", "all", {"wants": "tensorflow-cpu\n"}, "1.3 GB"),
    (
        "payload",
        "warns",
        "openwhisk",
        {"yaml": "config:\n  GPFN_MAX_BODY_BYTES: 9000000\n"},
        "1 MiB",
    ),
    (
        "writes",
        "fails",
        "fn",
        {"code": CODE + 'def log():\n    open("/var/log/x", "a").write("x")\n'},
        "func.py:5: writes /var/log/x",
    ),
]


@pytest.mark.parametrize(("rule", "level", "platform", "files", "text"), FILES)
def test_what_files_tell(
    tmp_path: Path, rule: str, level: str, platform: str, files: dict[str, str], text: str
) -> None:
    found = only(examine(function(tmp_path, **files)))
    assert (found.rule, found.level, found.platform) == (rule, level, platform)
    assert text in found.text


def test_timeouts_of_both_platforms(tmp_path: Path) -> None:
    found = examine(function(tmp_path, yaml="timeout: 301\n"))
    assert [(one.rule, one.platform) for one in found] == [
        ("timeout", "fn"),
        ("timeout", "openwhisk"),
    ]


def test_a_timeout_that_may_leave_no_time(tmp_path: Path) -> None:
    found = only(examine(function(tmp_path, yaml="timeout: 1\n")))
    assert (found.rule, found.level, found.platform) == ("timeout", "warns", "fn")
    assert "timeout: 1 may leave a call no time" in found.text
    assert examine(function(tmp_path, yaml="timeout: 2\n")) == []


MEASURED = [
    ("start", "fails", Measured(6.0, 1, 1), "listens after 6.0 s; Fn waits 5 s"),
    ("start", "warns", Measured(3.0, 1, 1), "listens after 3.0 s"),
    ("start", "fails", Measured(problem="no model found"), "does not start: no model found"),
    ("threads", "fails", Measured(0.1, 1, 64), "64 threads; Fn allows 50"),
    ("threads", "warns", Measured(0.1, 1, 30), "30 threads of 50"),
]


@pytest.mark.parametrize(("rule", "level", "measured", "text"), MEASURED)
def test_what_measuring_tells(
    tmp_path: Path, rule: str, level: str, measured: Measured, text: str
) -> None:
    found = only(examine(replace(function(tmp_path), measured=measured)))
    assert (found.rule, found.level) == (rule, level)
    assert text in found.text


IMAGES = [
    ("tags", replace(IMAGE, name="f:latest"), "latest is pulled at every cold start"),
    ("volumes", replace(IMAGE, volumes=("/data",)), "VOLUME /data"),
    ("user", replace(IMAGE, user=""), "runs as root"),
    ("image", replace(IMAGE, labels={}), "has no gpfn"),
    ("image", replace(IMAGE, size=900_000_000), "900 MB have to be pulled"),
]


@pytest.mark.parametrize(("rule", "image", "text"), IMAGES)
def test_what_an_image_tells(tmp_path: Path, rule: str, image: ImageFacts, text: str) -> None:
    found = only(examine(replace(function(tmp_path), image=image)))
    assert found.rule == rule
    assert text in found.text


def test_a_missing_model_and_a_folder_too_large_for_a_zip(tmp_path: Path) -> None:
    facts = replace(function(tmp_path), models={"m.tflite": 0}, zip_bytes=40_000_000)
    found = examine(facts)
    assert [one.rule for one in found] == ["models", "zip"]
    assert "a zip may have 36 MB" in found[1].text


WRITES = """\
import os
from gpfn import Function, TensorSpec

PLACE = {place}


def handler(x):
    with open(PLACE, "wb") as file:
        file.write(x.tobytes())
    return x


f = Function(handler, inputs={{"x": TensorSpec("float32", (None,))}}, name="f")
handler, main, app = f.fn, f.openwhisk, f.asgi
"""


def tried_everywhere(folder: Path, code: str, sample: bytes = b"[1, 2]", yaml: str = "") -> Facts:
    """Return the facts of a function after it has been asked on Fn and OpenWhisk."""
    (folder / "func.py").write_text(code)
    (folder / "sample.json").write_bytes(sample)
    (folder / "func.yaml").write_text(f"name: f\n{yaml}")
    target = find_target(str(folder))
    asked = read_sample(folder)
    runs = {name: measure(target, name, asked) for name in ("fn", "openwhisk")}
    return gather(
        target,
        measured=runs.pop("fn"),
        image=None,
        elsewhere=runs,
        troubles=try_out(target),
    )


@pytest.mark.parametrize(
    ("call", "place"),
    [
        ('open("names.txt", encoding="ascii")', ""),
        ('open(PLACE, encoding="latin-1", errors="replace")', ""),
        ('open("names.txt", "r", encoding="ascii")', ""),
        ('open("/tmp/names.txt", "w")', ""),
        ('open("names.txt", encoding="ascii", mode="a")', "names.txt"),
        ('open(mode="w", file="names.txt")', "names.txt"),
    ],
)
def test_a_mode_is_what_stands_where_modes_do(tmp_path: Path, call: str, place: str) -> None:
    found = examine(function(tmp_path, code=f"{CODE}def late():\n    {call}\n"))
    told = [f"func.py:5: writes {place}; only /tmp can be written"] if place else []
    assert [one.text for one in found if one.rule == "writes"] == told


def test_a_function_that_writes_beside_itself(tmp_path: Path) -> None:
    """No rule sees it in the code; Fn's files are read-only, OpenWhisk's are not."""
    code = WRITES.format(place='os.path.join(os.path.dirname(__file__), "cache.bin")')
    found = only(examine(tried_everywhere(tmp_path, code)))
    assert (found.level, found.platform, found.rule) == ("fails", "fn", "sample")
    assert "Read-only file system" in found.text
    assert found.text.endswith(": only /tmp can be written")
    assert (tmp_path / "cache.bin").read_bytes(), "written on OpenWhisk"


def test_a_function_that_writes_to_tmp_is_well(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "f", tmp_path / "scratch.bin"
    folder.mkdir()
    facts = tried_everywhere(folder, WRITES.format(place=repr(str(scratch))))
    assert examine(facts) == []
    assert scratch.stat().st_size == 8
    assert facts.measured is not None
    assert facts.measured.seconds > 0
    assert facts.measured.memory > 10 << 20


def test_a_file_that_is_written_while_it_starts(tmp_path: Path) -> None:
    code = "from pathlib import Path\nPath(__file__).with_name('x').mkdir()\n" + WRITES
    found = examine(tried_everywhere(tmp_path, code.format(place="''")))
    starts = [one for one in found if one.rule == "start"]
    assert [one.platform for one in starts] == ["fn"]
    assert "only /tmp can be written" in starts[0].text


def test_more_memory_than_allowed_is_told_with_the_line(tmp_path: Path) -> None:
    code = DECLARED.format(rest="lambda payload: len(bytearray(200 << 20)), takes='payload'")
    found = only(examine(tried_everywhere(tmp_path, code + "main = f.openwhisk\n")))
    assert (found.level, found.rule) == ("fails", "memory")
    used, cure = found.text.removeprefix("memory: 128 in func.yaml, and it uses ").split(" MiB; ")
    assert int(used) > 200
    assert int(cure.removeprefix("write memory: ")) >= 1.25 * int(used)


def test_a_call_that_takes_too_long(tmp_path: Path) -> None:
    code = "import time\n" + DECLARED.format(rest="lambda payload: time.sleep(9), takes='payload'")
    code += "main = f.openwhisk\n"
    found = examine(tried_everywhere(tmp_path, code, yaml="timeout: 2\n"))
    assert {one.platform for one in found if one.rule == "sample"} == {"fn", "openwhisk"}
    assert all("sample.json: " in one.text for one in found)


SAMPLES = [
    (b"[1, 2", "all", "sample.json: is not JSON: "),
    (b"\xff[1]", "all", "sample.json: is not JSON: "),
    (b"[" * 100_000, "all", "sample.json: is not JSON: "),
    (b'"' + b"x" * (2 << 20) + b'"', "openwhisk", "2097154 bytes; OpenWhisk takes 1048576"),
]


@pytest.mark.parametrize(("body", "platform", "text"), SAMPLES)
def test_a_sample_that_cannot_be_sent(
    tmp_path: Path, body: bytes, platform: str, text: str
) -> None:
    (tmp_path / "sample.json").write_bytes(body)
    found = only(examine(function(tmp_path)))
    assert (found.rule, found.level, found.platform) == ("sample", "fails", platform)
    assert text in found.text
    assert "\n" not in found.text
    assert len(found.text) < 200


def test_an_onnx_function_is_examined_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three seconds on a machine of its own (benchmarks/doctor.py); here others work as well."""
    (tmp_path / "func.py").write_text(
        DECLARED.format(rest='model="m.onnx"') + "main, app = f.openwhisk, f.asgi\n"
    )
    (tmp_path / "m.onnx").write_bytes((ROOT / "models" / "forecast.onnx").read_bytes())
    (tmp_path / "sample.json").write_text(json.dumps([[[0.5]] * 20]))
    began = time.perf_counter()
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    assert time.perf_counter() - began < 30
    shown = json.loads(capsys.readouterr().out)
    (found,) = shown["findings"]
    assert (found["level"], found["rule"]) == ("warns", "packages")
    assert "m.onnx needs onnxruntime; add gpfn[onnx]" in found["text"]
    assert set(shown["elsewhere"]) == {"openwhisk", "http"}
    for one in (shown["measured"], *shown["elsewhere"].values()):
        assert (one["problem"], one["failure"]) == ("", "")
        assert one["memory"] > 30 << 20


def test_a_sample_that_never_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sample.json")
    found = [one.text for one in examine(function(tmp_path)) if one.rule == "sample"]
    assert found == ["sample.json: is no file"]


def test_a_sample_over_every_bound(tmp_path: Path) -> None:
    with (tmp_path / "sample.json").open("wb") as file:
        file.truncate(65 << 20)
    found = [one.text for one in examine(function(tmp_path)) if one.rule == "sample"]
    assert found == ["sample.json: has over 64 MiB"]


AMAZON = "AKIA" + "ABCDEFGHIJKLMNOP"  # in two, so that no scanner of this repository finds it
KEYS = [
    ({"yaml": f"config:\n  REGION: {AMAZON}\n"}, "config.REGION in func.yaml looks like a key"),
    ({"yaml": "config:\n  API_KEY: abcdef123\n"}, "write secret:api-key there, and mount"),
    ({"yaml": "config:\n  DB: postgres://me:abcdef123@db/x\n"}, "config.DB in func.yaml"),
    ({"code": CODE + 'password = "abcdef123"\n'}, "func.py:4: looks like a key"),
    ({"code": CODE + 'dict(token="abcdef123")\n'}, "func.py:4: looks like a key"),
    ({"code": CODE + '{"api_key": "abcdef123"}\n'}, "func.py:4: looks like a key"),
    ({"code": CODE + f'open_it("{AMAZON}")\n'}, "func.py:4: looks like a key"),
    ({"wants": "--index-url https://me:abcdef123@x.example/\n"}, "requirements.txt:1: looks"),
    ({"dockerfile": "FROM a:1\nENV DB_PASSWORD=abcdef123\n"}, "Dockerfile:2: looks like a key"),
]
NO_KEYS = [
    {"yaml": "config:\n  API_KEY: secret:api-key\n  TOKEN: env:TOKEN\n  GPFN_MAX_RANK: 123456"},
    {"code": CODE + 'token = ""\nkeys = ["abcdef123"]\ntokens = "abcdef123"\n'},
    {"code": CODE + 'password = "the password is asked for"\n'},
    {"wants": "--index-url https://${USER}:${WORD}@x.example/\n"},
]


@pytest.mark.parametrize(("files", "text"), KEYS)
def test_what_looks_like_a_key(tmp_path: Path, files: dict[str, str], text: str) -> None:
    (found,) = [one for one in examine(function(tmp_path, **files)) if one.rule == "secrets"]
    assert (found.level, found.platform) == ("warns", "all")
    assert text in found.text
    assert "docs/secrets.md" in found.text
    assert "abcdef123" not in found.text
    assert AMAZON not in found.text


@pytest.mark.parametrize("files", NO_KEYS)
def test_what_does_not(tmp_path: Path, files: dict[str, str]) -> None:
    assert examine(function(tmp_path, **files)) == []


def test_secrets_never_go_into_an_image_or_a_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "f"
    (folder / "mounted").mkdir(parents=True)
    (folder / "mounted" / "api-key").write_text("abcdef123")
    facts = function(folder, code=CODE + "main = f.openwhisk\n")
    monkeypatch.setenv("GPFN_SECRETS_DIR", str(folder / "mounted"))
    found = only(examine(facts))
    assert (found.level, found.rule) == ("fails", "secrets")
    for command in (
        ["package", "openwhisk", str(folder), "-o", str(tmp_path / "f.zip")],
        ["build", str(folder), "--context", str(tmp_path / "context")],
    ):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("gpfn: GPFN_SECRETS_DIR: mounted is in the function's folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f"]


def test_every_rule_is_seen_to_find_something() -> None:
    seen = {row[0] for row in FILES} | {row[0] for row in MEASURED} | {row[0] for row in IMAGES}
    assert set(RULES) == seen | {
        "timeout",
        "models",
        "zip",
        "model",
        "packages",
        "sample",
        "conflicts",
        "secrets",
    }


@pytest.mark.parametrize("name", ["forecast", "digits"])
def test_our_own_functions_are_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", f"{ROOT}/functions/{name}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one for one in shown["findings"] if one["level"] == "fails"] == []
    measured = shown["measured"]
    assert 0 < measured["memory"] < 128 << 20
    assert 1 <= measured["threads"] <= 20
    assert 0 < measured["start"] < 5


def test_a_function_that_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    function(tmp_path, code="import nowhere_to_be_found\n")
    assert main(["doctor", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "it does not start" in out
    assert "nowhere_to_be_found" in out


def test_a_missing_image_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", f"{ROOT}/functions/digits", "--image", "nowhere:1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "docker is not installed" in line


MODEL = ROOT / "models" / "forecast.tflite"
DECLARED = """\
from gpfn import Function, TensorSpec
f = Function({rest}, name="f")
handler = f.fn
"""


def tried(folder: Path, rest: str, **files: bytes) -> list[tuple[str, str]]:
    """Return what trying a function finds, as the levels and texts of the doctor's rule."""
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    (folder / "func.py").write_text(DECLARED.format(rest=rest))
    target = find_target(str(folder))
    facts = gather(target, measured=GOOD, image=None, troubles=try_out(target))
    return [(one.level, one.text) for one in examine(facts) if one.rule == "model"]


@pytest.mark.parametrize(
    ("rest", "level", "says"),
    [
        ('model="gone.tflite"', "fails", "model: no model found: gone.tflite is neither in"),
        ('model="junk.tflite"', "fails", "model: expected a LiteRT model"),
        ('model="m.tflite", output="wrong"', "fails", "output: "),
        ('model="m.tflite", inputs={"a": TensorSpec("float32"), "b": TensorSpec("float32")}',
         "fails", "inputs: the function declares a, b, but"),
        ('model="m.tflite", inputs={"series": TensorSpec("float32", (None, 7))}',
         "fails", "inputs.series: the function declares float32 (any, 7), but the model"),
        ('model="m.tflite", inputs={"series": TensorSpec("string", (None, 20, 1))}',
         "fails", "inputs.series: the function declares string (any, 20, 1), but the model"),
        ('model="d.tflite", inputs={"image": TensorSpec("float32", (None, 8, 8, 1))}',
         "fails", "inputs.image: float32 is declared, and the model takes uint8"),
        ('model="m.tflite", on_open=lambda model: 1 / 0',
         "fails", "model: ZeroDivisionError: division by zero"),
        ('model="gone:callable"', "fails", "model: "),
        ('model="m.tflite", after=lambda value: 1 / 0',
         "warns", "a call with zeros: ZeroDivisionError: division by zero"),
        ('model="env:NO_SUCH_SERVER", inputs={"x": TensorSpec("float32", (None,))}',
         "warns", "model: no model found: NO_SUCH_SERVER is not set"),
        ('model="http://127.0.0.1:9", inputs={"x": TensorSpec("float32", (None,))}',
         "warns", "a call with zeros: http://127.0.0.1:9: connection refused"),
        ('lambda x: x, inputs={"x": TensorSpec("float32", (2,))}',
         "fails", "body: sample.json: expected 2 numbers, got 3"),
    ],
)  # fmt: skip
def test_a_function_that_could_not_answer(tmp_path: Path, rest: str, level: str, says: str) -> None:
    more = {"sample_json": b"[1, 2, 3]"} if "lambda x" in rest else {}
    more["d_tflite"] = (ROOT / "models" / "digits.tflite").read_bytes()
    found = tried(tmp_path, rest, junk_tflite=b"junk", m_tflite=MODEL.read_bytes(), **more)
    assert [one[0] for one in found] == [level]
    assert says in found[0][1]


@pytest.mark.parametrize(
    "rest",
    [
        'model="m.tflite"',
        'model="m.tflite", output="forecast", inputs={"s": TensorSpec("int64", (None, 20, 1))}',
        'model="m.tflite", before=lambda x: 1 / 0, inputs={"x": TensorSpec("float32", (None,))}',
        'model="m.tflite", inputs={"s": TensorSpec("float64", (None, None, 1))}',
        'model=("env:NO_SUCH_SERVER", "m.tflite")',
        "lambda payload: 1 / 0, takes='payload'",
        'model="rows.onnx", takes="rows"',
    ],
)
def test_a_function_that_answers(tmp_path: Path, rest: str) -> None:
    rows = (ROOT / "models" / "flowers" / "flowers.onnx").read_bytes()
    assert tried(tmp_path, rest, m_tflite=MODEL.read_bytes(), rows_onnx=rows) == []


@pytest.mark.parametrize(
    ("domain", "operator", "opset", "names"),
    [("com.acme", "Magic", 17, "com.acme:magic"), ("", "Relu", 99, "opset")],
)
def test_an_onnx_model_that_this_runtime_cannot_open(
    tmp_path: Path, domain: str, operator: str, opset: int, names: str
) -> None:
    """A custom operator, and an opset that is newer than the runtime."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.acme", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (found,) = tried(tmp_path, 'model="m.onnx"', m_onnx=model.SerializeToString())
    assert found[0] == "fails"
    assert found[1].startswith("model: ")
    assert names in found[1].lower()
    assert "\n" not in found[1]


def test_a_missing_backend_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of its name that cannot be imported stands in the place of the library."""
    (tmp_path / "path" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "path" / "onnxruntime" / "__init__.py").write_text("raise ImportError('none')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    onnx = (ROOT / "models" / "forecast.onnx").read_bytes()
    found = tried(tmp_path, 'model="m.onnx"', m_onnx=onnx)
    text = "model: ONNX Runtime is not installed; run: pip install 'gpfn[onnx]'"
    assert found == [("fails", text)]


def test_the_command_fails_with_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text(DECLARED.format(rest='model="gone.tflite"'))
    assert main(["doctor", str(tmp_path), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["level"], found["rule"]) == ("fails", "model")
    assert found["text"].startswith("model: no model found: gone.tflite")


ECHO = 'lambda x: x, inputs={"x": TensorSpec("float32", None)}'


def test_what_a_file_prints_at_its_end_is_no_answer(tmp_path: Path) -> None:
    code = "import atexit\natexit.register(print, 'bye')\n" + DECLARED.format(rest=ECHO)
    (tmp_path / "func.py").write_text(code)
    assert try_out(find_target(str(tmp_path))) == ()
    assert ask_function(tmp_path / "func.py").takes == "arrays"


def test_a_process_that_ends_without_an_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("import os\nos._exit(0)\n")
    (trouble,) = try_out(find_target(str(tmp_path)))
    assert trouble.text == "loading, opening or asking it ended the process with 0"
    assert ask_function(tmp_path / "func.py") == Asked()


PACKAGES = [
    ("fails", "all", {"code": "import lightgbm\n" + CODE}, "needs the line lightgbm"),
    ("fails", "fn", {"wants": "fdk\n", "yaml": "runtime: python\n"}, "add gpfn[onnx]"),
    ("warns", "all", {"code": CODE}, "m.onnx needs onnxruntime; add gpfn[onnx], or let gpfn build"),
    ("warns", "all", {"wants": "gpfn[fdk]\n"}, "onnxruntime; write gpfn[fdk,onnx] for gpfn, or"),
    ("warns", "all", {"code": CODE + "import gpfn.images\n"}, "pillow; add gpfn[images]"),
]  # fmt: skip


@pytest.mark.parametrize(("level", "platform", "files", "text"), PACKAGES)
def test_what_nothing_installs(
    tmp_path: Path, level: str, platform: str, files: dict[str, str], text: str
) -> None:
    if "onnx" in text:
        (tmp_path / "m.onnx").write_bytes(b"")
    found = only(examine(function(tmp_path, **files)))
    assert (found.rule, found.level, found.platform) == ("packages", level, platform)
    assert text in found.text


def test_the_functions_of_the_repository_can_answer() -> None:
    for name in ("digits", "forecast"):
        assert try_out(find_target(str(ROOT / "functions" / name))) == ()

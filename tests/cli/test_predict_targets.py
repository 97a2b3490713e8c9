"""``gpfn predict`` gives the same answer whatever protocol a model is asked by."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.cli.serving import LISTENING, Served, serve
from tests.conftest import ROOT

PICTURE = str(ROOT / "ce_samples" / "digit-7.png")
SEVEN = ["7", "0.993362"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a repository with a classifier of digits and a forecast, over HTTP and gRPC."""
    folder = tmp_path_factory.mktemp("targets")
    options = ("--repository", str(folder / "models.d"), "--grpc", "127.0.0.1:0")
    with serve(folder, *options, told=LISTENING) as server:
        models = ROOT / "models"
        labels = ["--labels", str(models / "digits_labels.txt")]
        for words in ([str(models / "digits.tflite"), *labels], [str(models / "forecast.tflite")]):
            assert main(["models", "push", *words, "--to", server.url]) == 0
        yield server


def host_of(served: Served) -> str:
    return served.url.partition("://")[2]


def grpc_of(served: Served) -> str:
    found = re.search(r"gRPC\S* (?:on|at) \S*?([\d.]+:\d+)", served.log.read_text())
    assert found, served.log.read_text()
    return found[1]


def best(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["predict", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()[1].split()


def test_the_same_digit_by_every_protocol(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    targets = (
        "digits",
        f"{served.url}/digits",
        f"{served.url}/digits@1",
        f"{served.url}/v2/models/digits",
        f"{served.url}/v1/models/digits",
        f"{served.url}/v1/models/digits/versions/1:predict",
        f"grpc://{grpc_of(served)}/digits",
        f"{served.url}/graphpipe/digits",
    )
    for target in targets:
        assert best(capsys, target, "--image", PICTURE, "--top", "1") == SEVEN, target


def test_rows_by_every_protocol(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    rows = tmp_path / "rows.csv"
    rows.write_text(";".join(map(str, range(20, 40))) + "\n")
    local = ["predict", "forecast", "--csv", str(rows), "--output", "-"]
    assert main(local) == 0
    expected = capsys.readouterr().out
    for target in (f"{served.url}/forecast", f"{served.url}/v1/models/forecast"):
        assert main(["predict", target, *local[2:]]) == 0
        assert capsys.readouterr().out == expected
    assert main(["predict", f"tfaas://{host_of(served)}/forecast", "--csv", str(rows)]) == 0
    assert "predictions  float32 (1, 20) from " in capsys.readouterr().out


def test_tfaas_tells_the_classes(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(",".join(["0"] * 28 + ["128"] * 36) for _ in range(2)))
    assert main(["predict", f"tfaas://{host_of(served)}/digits", "--csv", str(rows)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["predictions", "its", "probability"]
    assert lines[1] == lines[2]
    assert lines[1].split()[0].isdigit()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("{url}/digit", "model: {url} serves no model 'digit'; did you mean digits?"),
        ("{url}/qqq", "model: {url} serves no model 'qqq'; it has digits, forecast"),
        ("{url}/v1/models/qqq", "{url}/v1/models/qqq: "),
        ("{url}/v1/models/a/b", "url: expected …/v1/models/NAME or"),
        ("tfaas://{host}", "url: expected tfaas://HOST:PORT/NAME of a model"),
        ("tfaas://{host}/qqq", "{url}/proto: "),
        ("forcast", "no such file, and no model by its name: forcast; did you mean forecast?"),
        (
            "http://127.0.0.1:9/v1/models/m",
            "http://127.0.0.1:9: connection refused: nothing listens",
        ),
        ("tfaas://127.0.0.1:9/m", "http://127.0.0.1:9: connection refused: nothing listens there"),
    ],
)
def test_a_target_that_is_wrong(
    target: str, told: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    places = {"url": served.url, "host": host_of(served)}
    row = ["--row", *[f"c{at}=1" for at in range(20)]]
    assert main(["predict", target.format(**places), *row]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    line = [line for line in err.splitlines() if " taken as " not in line]
    assert len(line) == 1
    assert line[0].startswith("gpfn: " + told.format(**places))


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9",
        "http://127.0.0.1:9/digits",
        "http://127.0.0.1:9/v2/models/m",
        "http://127.0.0.1:9/v1/models/m",
        "tfaas://127.0.0.1:9/m",
        "grpc://127.0.0.1:9/m",
    ],
)
def test_a_target_that_does_not_answer(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", target, "--row", "a=1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].endswith("; start the server, or correct the address")
    assert len([line for line in err.splitlines() if " taken as " not in line]) == 1


def test_pictures_for_tfaas_go_another_way(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["predict", f"tfaas://{host_of(served)}/digits", "--image", PICTURE]
    assert main(words) == 1
    assert "gpfn tfaas --url URL --image FILE --model NAME" in capsys.readouterr().err

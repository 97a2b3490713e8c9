"""Placing stages: which processes there are, who calls whom, and what cannot be placed."""

import json

import pytest

from gpfn.errors import SetupError
from gpfn.models.pipeline import Origin, PipelineFile, Stage, read_pipeline
from gpfn.models.pipeline.stage import PLACES
from gpfn.pipelines import Launch, place_stages
from gpfn.serving.onward import parse_config
from gpfn.serving.settings import LOOPBACK
from tests.conftest import ROOT

TOY = ROOT / "pipelines" / "toy.pipeline.toml"
MULTIPLY, ADD = "http://127.0.0.1:3000", "http://127.0.0.1:4000"


def stage(name: str, port: int = 0, **more: object) -> Stage:
    listen = f"127.0.0.1:{port}" if port else ""
    return Stage(name, more.pop("target", f"{name}.py:f"), listen=listen, **more)  # type: ignore[arg-type]


def pipeline(*stages: Stage, outputs: dict[str, Origin] | None = None) -> PipelineFile:
    return PipelineFile("p", "", stages, outputs or {})


A, B, C, D = (stage(name, port) for port, name in enumerate("abcd", 5001))


def launch(file: PipelineFile, name: str, place: str | None = None) -> Launch:
    return {each.name: each for each in place_stages(file, place).launches}[name]


def test_a_client_calls_every_stage() -> None:
    placed = place_stages(read_pipeline(TOY), "client")
    assert [each.name for each in placed.launches] == ["add", "multiply"]
    assert [(each.next_url, each.needs) for each in placed.launches] == [("", ()), ("", ())]
    assert [(each.name, each.target, each.config) for each in placed.entry] == [
        ("multiply", MULTIPLY, ""),
        ("add", ADD, ""),
    ]
    assert placed.launches[0].words() == [
        "serve", "--model", f"add={ROOT}/functions/add/func.py", "--listen", "127.0.0.1:4000"
    ]  # fmt: skip


def test_a_server_is_told_where_to_go_on() -> None:
    placed = place_stages(read_pipeline(TOY), "server")
    add, multiply = placed.launches
    assert (add.next_url, add.needs) == ("", ())
    assert (multiply.next_url, multiply.needs) == (ADD, ("add",))
    assert multiply.words()[-2:] == ["--next", ADD]
    assert [(each.name, each.target, each.config) for each in placed.entry] == [
        ("multiply", MULTIPLY, "")
    ]


def test_a_caller_of_a_hybrid_stage_says_where_to_go_on() -> None:
    placed = place_stages(read_pipeline(TOY), "hybrid")
    assert [each.next_url for each in placed.launches] == ["", ""]
    assert placed.launches[1].needs == ("add",)
    assert [(each.target, each.config) for each in placed.entry] == [(MULTIPLY, ADD)]


def test_several_hybrid_stages_are_named_one_after_the_other() -> None:
    [entry] = place_stages(pipeline(A, B, C, D), "hybrid").entry
    assert json.loads(entry.config) == {"next": [each.url for each in urls("bcd")]}
    to = parse_config(entry.config, LOOPBACK)
    assert to is not None
    assert to.url == "http://127.0.0.1:5002"
    then = parse_config(to.config, LOOPBACK)
    assert then is not None
    assert (then.url, then.config) == ("http://127.0.0.1:5003", "http://127.0.0.1:5004")


def urls(names: str) -> list[Launch]:
    return [launch(pipeline(A, B, C, D), name) for name in names]


def test_a_server_hands_on_what_a_hybrid_stage_is_told() -> None:
    placed = place_stages(pipeline(A._replace(place="server"), B._replace(place="hybrid"), C))
    assert [each.config for each in placed.entry] == ["http://127.0.0.1:5003"]
    assert {each.name: each.next_url for each in placed.launches} == {
        "a": "http://127.0.0.1:5002",
        "b": "",
        "c": "",
    }


def test_each_stage_says_itself_how_it_is_placed() -> None:
    file = read_pipeline(ROOT / "pipelines" / "classy.pipeline.toml")
    placed = place_stages(file)
    assert [each.name for each in placed.launches] == ["model", "prepare", "download"]
    model, prepare, download = placed.launches
    assert model.words()[2] == "model=mobilenet_v2"
    assert prepare.settings["GPFN_IMAGE_INPUT"] == "mobilenet_v2"
    assert prepare.words()[-4:] == ["--next", model.url, "--parallel", "4"]
    assert "--next" not in download.words()
    assert [(each.target, each.config) for each in placed.entry] == [(download.url, prepare.url)]


def test_after_a_chain_the_caller_goes_on() -> None:
    third = C._replace(takes={"x": Origin("b", "y")}, place="server")
    file = pipeline(
        A._replace(place="server", share=0.2, least=1.0, max_batch=8),
        B._replace(share=0.3, least=0.5, max_batch=4),
        third,
        D,
        outputs={"found": Origin("d", "z"), "between": Origin("b", "y")},
    )
    placed = place_stages(file)
    first, second = placed.entry
    assert (first.name, first.share, first.least, first.max_batch) == ("a", 0.5, 1.5, 4)
    assert (second.name, second.takes) == ("c", {"x": Origin("a", "y")})
    assert placed.outputs == {"found": Origin("c", "z"), "between": Origin("a", "y")}


def test_a_branch_may_be_a_chain_of_its_own() -> None:
    file = pipeline(
        A._replace(place="server", takes="inputs"),
        B._replace(takes="a"),
        C._replace(takes="inputs"),
        D._replace(takes={"x": Origin("b"), "y": Origin("c")}),
    )
    placed = place_stages(file)
    assert [each.name for each in placed.entry] == ["a", "c", "d"]
    assert placed.entry[2].takes == {"x": Origin("a"), "y": Origin("c")}


def test_a_stage_may_run_elsewhere() -> None:
    there = stage("there", target="http://models.example:9000")
    placed = place_stages(pipeline(A._replace(place="hybrid"), there))
    assert [(each.name, each.url) for each in placed.elsewhere] == [("there", there.target)]
    [own] = placed.launches
    assert own.needs == ()
    words = own.words()
    allowed = [words[n + 1] for n, word in enumerate(words) if word == "--allow-next"]
    assert allowed == [*LOOPBACK, "models.example:9000"]
    assert place_stages(pipeline(A._replace(place="server"), there)).launches[0].allow == ()
    first = place_stages(pipeline(there._replace(config="x"), A))
    assert (first.entry[0].target, first.entry[0].config) == (there.target, "x")


def test_every_address_is_reached_on_this_machine() -> None:
    placed = place_stages(pipeline(A._replace(listen="0.0.0.0:5001"), B._replace(listen="[::]:1")))
    assert [each.target for each in placed.entry] == ["http://127.0.0.1:5001", "http://[::1]:1"]
    assert placed.launches[1].words()[4] == "0.0.0.0:5001"


@pytest.mark.parametrize(
    ("stages", "field", "says"),
    [
        ((A, stage("b")), "stages.b.listen", "HOST:PORT"),
        ((A, B._replace(listen="127.0.0.1:0")), "stages.b.listen", "a port from 1 to 65535"),
        ((A, B._replace(listen="127.0.0.1:70000")), "stages.b.listen", "a port from 1 to 65535"),
        ((A, B._replace(listen="0.0.0.0:5001")), "stages.b.listen", "where a listens"),
        *(
            ((A, B._replace(listen=text)), "stages.b.listen", "expected HOST:PORT, got")
            for text in (
                "-x:80",
                "user@host:80",
                "--help:80",
                "host:many",
                "a:b:80",
                "x y:80",
                "http://host:80",
                "[::1",
                "host:٣",
                ":80",
            )
        ),
    ],
)
def test_an_address_that_cannot_be_used(stages: tuple[Stage, ...], field: str, says: str) -> None:
    for place in (None, *PLACES):
        with pytest.raises(SetupError, match=says) as caught:
            place_stages(pipeline(*stages), place)
        assert caught.value.field == field


BRANCHES = (
    A._replace(takes="inputs"),
    B._replace(takes="a"),
    C._replace(takes="a"),
    D._replace(takes={"x": Origin("b"), "y": Origin("c")}),
)


@pytest.mark.parametrize("place", ["server", "hybrid"])
@pytest.mark.parametrize(
    ("file", "field", "says"),
    [
        (pipeline(*BRANCHES), "stages.a.place", "b and c take its outputs"),
        (pipeline(A, B._replace(takes={"x": Origin("a", "y")})), "stages.b.inputs", "a, placed as"),
        (pipeline(A, B, outputs={"y": Origin("a")}), "outputs.y", "answers with what b gives"),
        (pipeline(A._replace(config="x"), B), "stages.a.config", "cannot be sent"),
        (pipeline(A, B._replace(config="x")), "stages.b.config", "cannot be sent"),
    ],
)
def test_what_is_no_line_cannot_be_handed_on(
    place: str, file: PipelineFile, field: str, says: str
) -> None:
    with pytest.raises(SetupError, match=says) as caught:
        place_stages(file, place)
    assert caught.value.field == field
    assert len(place_stages(file, "client").entry) == len(file.stages)

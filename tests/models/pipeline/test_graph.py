"""The order of stages, and what is refused before anything is opened."""

import pytest

from gpfn.errors import SetupError
from gpfn.models.pipeline.graph import check_graph, in_order, with_sources
from gpfn.models.pipeline.stage import Origin, Stage


def stage(name: str, *sources: str) -> Stage:
    return Stage(name, "t", {f"i{n}": Origin(source) for n, source in enumerate(sources)})


def names(stages: list[Stage]) -> list[str]:
    return [each.name for each in stages]


def test_stages_that_say_nothing_take_the_one_before_them():
    found = with_sources([Stage("a", "t"), Stage("b", "t"), Stage("c", "t", "a")])
    assert [each.takes for each in found] == ["inputs", "a", "a"]


def test_the_order_is_that_of_the_file_behind_what_is_needed():
    stages = [stage("d", "b", "c"), stage("b", "a"), stage("c", "a"), stage("a", "inputs")]
    assert names(in_order(stages)) == ["a", "b", "c", "d"]
    assert names(in_order([stage("b", "a"), stage("c", "inputs"), stage("a", "c")])) == [
        "c", "a", "b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "told", "field"),
    [
        ([], "at least one stage", "stages"),
        ([stage("a", "inputs"), stage("a", "inputs")], "two stages", "stages.a"),
        ([stage("a", "b")], "no stage is called 'b'; there are inputs, a", "stages.a.inputs.i0"),
        ([Stage("a", "t", "nowhere")], "no stage is called 'nowhere'", "stages.a.inputs"),
        ([stage("a", "a")], "circle: a -> a", "stages.a.inputs"),
        (
            [stage("x", "inputs"), stage("a", "c"), stage("b", "a"), stage("c", "b")],
            "circle: a -> b -> c -> a",
            "stages.a.inputs",
        ),
        ([stage(f"s{n}", "inputs") for n in range(10_000)], "10000 stages", "stages"),
        ([stage("a", "inputs"), stage("b", "inputs")], "nothing takes its outputs", "stages.a"),
    ],
)
def test_what_cannot_be_run_is_named(stages, told, field):
    with pytest.raises(SetupError) as caught:
        check_graph(stages, {})
    assert told in caught.value.detail
    assert caught.value.field == field


def test_outputs_of_no_stage_are_refused():
    with pytest.raises(SetupError, match=r"outputs\.scores: no stage is called 'b'"):
        check_graph([stage("a", "inputs")], {"scores": Origin("b", "y")})


def test_a_stage_whose_outputs_are_answered_needs_no_taker():
    stages = [stage("a", "inputs"), stage("b", "inputs")]
    origins = {"left": Origin("a"), "right": Origin("b")}
    assert check_graph(stages, origins) is None

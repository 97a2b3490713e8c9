"""What the library answers of versions that are there, on their way, or not to be had."""

import pytest

from gpfn.call.opening import NotReady
from gpfn.errors import SetupError
from gpfn.models.description import Serving
from gpfn.serving.library import Library, UnknownModel
from gpfn.serving.wanted import ModelSource, Wanted, version_order


class Version:
    """As much of a served version as the library looks at."""

    def __init__(self, source: ModelSource) -> None:
        self.source, self.name, self.version = source, source.name, source.version


def library(*sources: ModelSource, open_: tuple[str, ...] = ()) -> Library:
    found = Library()
    by_name: dict[str, dict[str, ModelSource]] = {}
    for source in sources:
        by_name.setdefault(source.name, {})[source.version] = source
    found.want(by_name)
    for source in sources:
        if source.version in open_:
            found.put(Version(source))  # type: ignore[arg-type]
    return found


def test_the_highest_version_is_meant_and_numbers_are_no_texts() -> None:
    sources = [ModelSource("m", version, "x") for version in ("9", "10", "2")]
    assert library(*sources, open_=("9", "10", "2")).find("m").version == "10"
    assert library(*sources, open_=("9", "10", "2")).versions("m") == ["2", "9", "10"]
    assert sorted(["10", "9", "v2"], key=version_order) == ["9", "10", "v2"]


def test_what_is_on_its_way_is_not_unknown() -> None:
    with pytest.raises(NotReady, match="being loaded"):
        Library().find("m")
    one = library(ModelSource("m", "1", "x"), ModelSource("m", "2", "x"), open_=("1",))
    assert one.find("m").version == "1", "the old one answers meanwhile"
    with pytest.raises(NotReady, match="being loaded"):
        one.find("m", "2")
    with pytest.raises(UnknownModel, match="'m' version 3 is not found"):
        one.find("m", "3")
    with pytest.raises(UnknownModel, match="'n' is not found"):
        one.find("n")


def test_ready_is_every_model_that_was_wanted_at_the_start() -> None:
    assert not Library().ready
    sources = [ModelSource("m", "1", "x"), ModelSource("n", "1", "x")]
    both = library(*sources)
    assert not both.ready
    both.put(Version(sources[0]))  # type: ignore[arg-type]
    assert not both.ready
    both.failed(sources[1], SetupError("broken"))
    assert not both.ready
    assert [entry.reason for entry in both.index()] == ["", "broken"]
    both.want({"m": {"1": sources[0]}, "n": {"1": sources[1]._replace(loaded=False)}})
    assert both.ready, "it was unloaded on purpose"
    later = ModelSource("later", "1", "x")
    both.want({"m": {"1": sources[0]}, "later": {"1": later}})
    both.failed(later, SetupError("broken"))
    assert both.ready, "a model that came later, and is broken, takes nobody's traffic away"


def test_a_tag_is_a_name_for_a_version() -> None:
    serving = Serving(tags=(("stable", "1"), ("next", "2"), ("gone", "7")))
    sources = [ModelSource("m", "1", "x"), ModelSource("m", "2", "x", serving=serving)]
    found = library(*sources, open_=("1", "2"))
    assert found.tagged("m", "stable").version == "1"
    assert found.tagged("m", "next").version == "2"
    with pytest.raises(UnknownModel, match="version 7"):
        found.tagged("m", "gone")
    with pytest.raises(UnknownModel):
        found.tagged("m", "nope")
    with pytest.raises(NotReady):
        library(*sources, open_=("2",)).tagged("m", "stable")


def test_the_list_is_the_same_for_whoever_reads_it() -> None:
    wanted = Wanted(2)
    assert wanted.generation == 0
    source = ModelSource("m", "1", "x", labels=("a", "b"), serving=Serving(warmup=("w",), keep=2))
    first = wanted.replace([source])
    assert wanted.sources()["m"]["1"] == source
    assert wanted.replace([source]) == first, "nothing has changed"
    wanted.load("m", loaded=False)
    assert not wanted.sources()["m"]["1"].loaded
    wanted.replace([source, source._replace(version="2")])
    assert not wanted.sources()["m"]["2"].loaded, "what is unloaded stays so"
    wanted.load("m", loaded=True)
    assert wanted.sources()["m"]["1"].attempt == 1


def test_every_version_has_a_slot_of_its_own_and_used_ones_come_last() -> None:
    wanted = Wanted()
    for number in range(2000):
        wanted.replace([ModelSource("a", "1", "x"), ModelSource("b", str(number), "x")])
        slots = [source.slot for vs in wanted.sources().values() for source in vs.values()]
        assert len({*slots}) == 2
    with pytest.raises(SetupError, match="versions of models"):
        wanted.replace([ModelSource("m", str(n), "x") for n in range(600)])


def test_who_is_killed_while_writing_the_list_leaves_the_one_before() -> None:
    class Killed(Wanted):
        armed = False

        def _set_number(self, at: int, value: int) -> None:
            if self.armed:
                raise KeyboardInterrupt  # the text is written, and no number tells of it
            super()._set_number(at, value)

    wanted = Killed()
    for count in (1, 2, 3):
        wanted.replace([ModelSource("m", str(number), "x" * number) for number in range(count)])
        wanted.armed = True
        with pytest.raises(KeyboardInterrupt):
            wanted.replace([ModelSource("other", "1", "y" * 999)])
        wanted.armed = False
        assert [*wanted.sources()["m"]] == [str(number) for number in range(count)]
        assert "other" not in wanted.sources()


def test_what_was_decided_before_another_change_is_not_wanted() -> None:
    wanted = Wanted()
    before = wanted.replace([ModelSource("m", "1", "old")])
    now = wanted.replace([ModelSource("m", "2", "new")], among=["m"])
    assert wanted.replace([ModelSource("m", "1", "old")], among=["m"], at=before) == -1
    assert [*wanted.sources()["m"]] == ["2"]
    assert wanted.replace([ModelSource("m", "3", "newer")], among=["m"], at=now) > now

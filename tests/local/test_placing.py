"""Putting a folder's functions into the state, and taking them away."""

from pathlib import Path

import pytest

from gpfn.local.fn.entities import FnEntities
from gpfn.local.folders import LocalFunction, survey_folder
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.naming import EntityRef
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.placing import Placing, app_name
from gpfn.local.state import State
from tests.local.test_folders import make

YAML = """\
name: add
version: 0.0.3
memory: 1024
timeout: 40
config: {A: "1", B: "2"}
triggers:
- {name: add, type: http, source: /add}
- {name: more, type: http, source: /more}
"""


class Laptop:
    """A state with both platforms' entities, and a folder that is put into it."""

    def __init__(self, folder: Path, app: str = "demo") -> None:
        self.folder = folder
        self.said: list[str] = []
        self.state = State(folder / "state.sqlite3")
        self.fns = FnEntities(self.state)
        self.actions = WhiskEntities(self.state)
        self.placing = Placing(self.state, self.fns, self.actions, app, self.said.append)

    def place(self) -> list[LocalFunction]:
        functions = [*survey_folder(self.folder).functions]
        self.placing.remove_others(function.name for function in functions)
        self.placed = self.placing.place(functions)
        return functions

    def sources(self, name: str) -> set[str]:
        """Where a function of the app listens."""
        app = self.fns.find_app("demo")
        fn = app and self.fns.find_fn(app.id, name)
        assert fn is not None
        return {one.source for one in self.fns.triggers(fn.app_id, fn_id=fn.id, limit=999)}

    def fn(self, name: str = "add", app: str = "demo") -> "tuple[object, ...] | None":
        found = self.fns.find_app(app)
        return found and self.fns.find_fn(found.id, name)

    def again(self, app: str = "demo") -> "Laptop":
        """The same after a restart."""
        self.state.close()
        return Laptop(self.folder, app)


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    make(tmp_path / "add", YAML)
    return Laptop(tmp_path)


def test_what_func_yaml_says_is_deployed_on_both(laptop: Laptop) -> None:
    laptop.place()
    app = laptop.fns.find_app("demo")
    assert app is not None
    fn = laptop.fns.find_fn(app.id, "add")
    assert fn is not None
    assert (fn.image, fn.memory, fn.timeout, fn.idle_timeout) == ("add:0.0.3", 1024, 40, 30)
    assert dict(fn.config) == {"A": "1", "B": "2"}
    sources = {one.name: one.source for one in laptop.fns.triggers(app.id, fn_id=fn.id)}
    assert sources == {"add": "/add", "more": "/more"}
    action = laptop.actions.action(EntityRef("", "add"))
    assert (action.exec.image, action.limits.memory, action.limits.timeout) == (
        "add:0.0.3", 512, 40_000,
    )  # fmt: skip
    assert ("web-export", True) in [(each.key, each.value) for each in action.annotations]
    assert laptop.said == ["add: its action has 512 MB, as OpenWhisk gives 128 to 512 MB"]


def test_a_caller_from_the_web_cannot_change_what_the_action_is_given(laptop: Laptop) -> None:
    laptop.place()
    ref = EntityRef("", "add")
    given = {"parameters": [{"key": "secret", "value": "mine"}]}
    laptop.actions.put_action(ref, given, overwrite=True)
    laptop.place()
    action = laptop.actions.action(ref)
    assert [*action.final] == ["secret"]
    kept = {each.key: each.value for each in action.annotations}
    assert (kept["web-export"], kept["raw-http"], kept["final"]) == (True, False, True)


def test_ids_stay_over_a_restart_and_nothing_is_written(laptop: Laptop) -> None:
    laptop.place()
    before = laptop.fn(), laptop.actions.action(EntityRef("", "add"))
    later = laptop.again()
    later.place()
    assert (later.fn(), later.actions.action(EntityRef("", "add"))) == before
    assert later.said == []


def test_what_somebody_changed_stays_until_func_yaml_says_otherwise(laptop: Laptop) -> None:
    laptop.place()
    app = laptop.fns.find_app("demo")
    fn = app and laptop.fns.find_fn(app.id, "add")
    assert fn is not None
    laptop.fns.update_fn(fn.id, {"config": {"A": "mine", "C": "mine"}})
    later = laptop.again()
    later.place()
    assert dict(later.fns.fn(fn.id).config) == {"A": "mine", "B": "2", "C": "mine"}
    make(later.folder / "add", YAML.replace('B: "2"', 'D: "4"').replace("0.0.3", "0.0.4"))
    later.place()
    assert later.fns.fn(fn.id).image == "add:0.0.4"
    assert dict(later.fns.fn(fn.id).config) == {"A": "mine", "C": "mine", "D": "4"}


def test_an_edit_undoes_nothing_but_what_it_speaks_of(laptop: Laptop) -> None:
    laptop.place()
    app, ref = laptop.fns.find_app("demo"), EntityRef("", "add")
    fn = app and laptop.fns.find_fn(app.id, "add")
    assert fn is not None
    laptop.fns.update_fn(fn.id, {"memory": 300, "idle_timeout": 77})
    mine = [{"key": "web-export", "value": False}, {"key": "mine", "value": 1}]
    given = {"annotations": mine, "limits": {"memory": 200, "logs": 3}}
    laptop.actions.put_action(ref, given, overwrite=True)
    make(laptop.folder / "add", YAML.replace("timeout: 40", "timeout: 50"))
    laptop.said.clear()
    laptop.place()
    fn, action = laptop.fns.fn(fn.id), laptop.actions.action(ref)
    assert (fn.timeout, fn.memory, fn.idle_timeout) == (50, 300, 77)
    assert (action.limits.timeout, action.limits.memory, action.limits.logs) == (50_000, 200, 3)
    kept = {each.key: each.value for each in action.annotations}
    assert (kept["web-export"], kept["mine"], kept["final"]) == (False, 1, True)
    assert laptop.said == []
    make(laptop.folder / "add", YAML.replace("memory: 1024", "memory: 400"))
    laptop.place()
    assert laptop.fns.fn(fn.id).memory == laptop.actions.action(ref).limits.memory == 400


def test_triggers_follow_func_yaml(laptop: Laptop) -> None:
    (function,) = laptop.place()
    app = laptop.fns.find_app("demo")
    fn = app and laptop.fns.find_fn(app.id, "add")
    assert fn is not None
    mine = {"app_id": fn.app_id, "fn_id": fn.id, "type": "http"}
    laptop.fns.create_trigger({**mine, "name": "mine", "source": "/mine"})
    text = YAML.replace("source: /more", "source: /other").replace(
        "name: add, type", "name: a, type"
    )
    make(function.folder, text)
    laptop.place()
    sources = {one.name: one.source for one in laptop.fns.triggers(fn.app_id, fn_id=fn.id)}
    assert sources == {"a": "/add", "more": "/other", "mine": "/mine"}


def test_a_folder_that_went_takes_its_deployments_along(laptop: Laptop) -> None:
    (function,) = laptop.place()
    (function.folder / "func.yaml").unlink()
    later = laptop.again()
    later.place()
    assert later.fn() is None
    with pytest.raises(WhiskRefusal):
        later.actions.action(EntityRef("", "add"))
    assert later.said == [
        "add: removed from the app demo; no func.yaml has its name now",
        "add: its action is removed; no func.yaml has its name now",
    ]


def test_what_somebody_made_is_left_alone(laptop: Laptop) -> None:
    app = laptop.fns.create_app({"name": "demo"})
    made = laptop.fns.create_fn({"name": "add", "app_id": app.id, "image": "mine:1"})
    ref = EntityRef("", "add")
    laptop.actions.put_action(ref, {"exec": {"kind": "blackbox", "image": "mine:1"}})
    (function,) = laptop.place()
    assert [text.partition(": ")[2] for text in laptop.said] == [
        "app demo has one that was made by hand; it stays",
        "an action of this name was made by hand; it stays",
    ]
    (function.folder / "func.yaml").unlink()
    laptop.place()
    assert laptop.fns.fn(made.id) == made
    assert laptop.actions.action(ref).exec.image == "mine:1"


def test_one_that_was_deleted_and_made_again_is_somebody_s(laptop: Laptop) -> None:
    (function,) = laptop.place()
    app = laptop.fns.find_app("demo")
    fn = app and laptop.fns.find_fn(app.id, "add")
    assert fn is not None
    laptop.fns.delete_fn(fn.id)
    made = laptop.fns.create_fn({"name": "add", "app_id": fn.app_id, "image": "add:7"})
    (function.folder / "func.yaml").unlink()
    laptop.place()
    assert laptop.fns.fn(made.id) == made


def test_another_app_takes_over(laptop: Laptop) -> None:
    laptop.place()
    later = laptop.again("other")
    later.place()
    assert later.fns.find_app("demo") is None
    assert later.fn("add", "other") is not None
    assert later.said[0] == "add: removed from the app demo; the app is other now"


def test_another_app_leaves_one_that_somebody_has_made_or_changed(laptop: Laptop) -> None:
    laptop.place()
    app = laptop.fns.find_app("demo")
    assert app is not None
    laptop.fns.update_app(app.id, {"config": {"KEY": "mine"}})
    laptop.fns.create_app({"name": "other"})
    later = laptop.again("other")
    later.place()
    kept = later.fns.find_app("demo")
    assert kept is not None
    assert dict(kept.config) == {"KEY": "mine"}
    assert (later.fn(), later.fn("add", "other") is None) == (None, False)
    again = later.again()
    again.place()
    assert again.fns.find_app("other") is not None  # made by hand, and empty


def test_a_source_that_another_has_is_told_and_the_rest_is_deployed(laptop: Laptop) -> None:
    make(laptop.folder / "b", "name: b\ntriggers:\n- {name: b, type: http, source: /add}\n")
    make(laptop.folder / "c", "name: c\n")
    laptop.place()
    assert any(text.startswith("b: not deployed (app demo): ") for text in laptop.said)
    assert laptop.fn("b") is None
    assert laptop.fn("c") is not None
    assert laptop.actions.action(EntityRef("", "b")).exec.image == "b:0.0.1"


def one(name: str, source: str, memory: int = 128) -> str:
    trigger = f"- {{name: t, type: http, source: {source}}}"
    return f"name: {name}\nmemory: {memory}\ntriggers:\n{trigger}\n"


def test_another_name_in_func_yaml_takes_the_source_along(tmp_path: Path) -> None:
    make(tmp_path / "a", one("old", "/s"))
    laptop = Laptop(tmp_path)
    laptop.place()
    make(tmp_path / "a", one("new", "/s"))
    laptop.place()
    assert laptop.sources("new") == {"/s"}
    assert laptop.fn("old") is None
    assert laptop.said[0] == "old: removed from the app demo; no func.yaml has its name now"
    assert "not deployed" not in "".join(laptop.said)


def test_functions_may_exchange_their_sources(tmp_path: Path) -> None:
    for name, source in (("a", "/one"), ("b", "/two")):
        make(tmp_path / name, one(name, source))
    laptop = Laptop(tmp_path)
    laptop.place()
    for name, source in (("a", "/two"), ("b", "/one")):
        make(tmp_path / name, one(name, source))
    laptop.place()
    assert (laptop.sources("a"), laptop.sources("b")) == ({"/two"}, {"/one"})
    assert laptop.said == []


def test_what_could_not_be_deployed_is_tried_again_and_told_once(tmp_path: Path) -> None:
    for name, source in (("a", "/one"), ("b", "/two")):
        make(tmp_path / name, one(name, source))
    laptop = Laptop(tmp_path)
    laptop.place()
    make(tmp_path / "a", one("a", "/two"))
    a, _ = survey_folder(tmp_path).functions
    assert laptop.placing.place([a]) == set()
    for _ in range(3):
        assert laptop.placing.place(()) == set()
    (told,) = laptop.said
    assert told.startswith("a: not deployed (app demo): ")
    make(tmp_path / "b", one("b", "/three"))
    _, b = survey_folder(tmp_path).functions
    assert laptop.placing.place([b]) == {"a", "b"}
    assert (laptop.sources("a"), laptop.sources("b")) == ({"/two"}, {"/three"})
    assert laptop.said[1:] == ["a: deployed now"]
    assert laptop.placing.place(()) == set()


def test_what_was_made_by_hand_is_told_once_while_another_step_is_tried_again(
    laptop: Laptop,
) -> None:
    taken = laptop.fns.create_app({"name": "demo"})
    hand = laptop.fns.create_fn({"name": "hand", "app_id": taken.id, "image": "hand:1"})
    owner = {"app_id": taken.id, "fn_id": hand.id}
    laptop.fns.create_trigger({"name": "t", "type": "http", "source": "/add", **owner})
    action = {"exec": {"kind": "blackbox", "image": "hand:1"}}
    laptop.actions.put_action(EntityRef("", "add"), action, overwrite=True)
    laptop.place()
    for _ in range(3):
        laptop.placing.place([])
    assert len([told for told in laptop.said if "made by hand" in told]) == 1
    assert len(laptop.said) == 2
    laptop.fns.delete_fn(hand.id)
    assert laptop.placing.place([]) == {"add"}
    assert laptop.said[2:] == ["add: deployed now"]


def test_what_could_not_be_deployed_and_has_gone_is_forgotten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, one(name, "/one"))
    laptop = Laptop(tmp_path)
    laptop.place()
    assert laptop.placed == {"a"}
    laptop.placing.remove(["a", "b"])
    assert laptop.placing.place(()) == set()
    assert laptop.fn("b") is None


def test_more_than_a_hundred_triggers_follow_func_yaml(tmp_path: Path) -> None:
    def text(last: str) -> str:
        lines = [f"- {{name: t{n:03}, type: http, source: /{n}}}" for n in range(120)]
        return "\n".join(
            ["name: a", "triggers:", *lines, f"- {{name: z, type: http, source: {last}}}", ""]
        )

    make(tmp_path / "a", text("/x"))
    laptop = Laptop(tmp_path)
    laptop.place()
    make(tmp_path / "a", text("/y"))
    laptop.place()
    assert laptop.said == []
    assert laptop.sources("a") == {*(f"/{n}" for n in range(120)), "/y"}


@pytest.mark.parametrize(
    ("folder", "app"),
    [("functions", "functions"), ("My app!", "My-app"), ("ü", "app"), ("x" * 99, "x" * 30)],
)
def test_the_name_of_an_app(folder: str, app: str) -> None:
    assert app_name(folder) == app

"""A process that uploads, tags, deletes and restores without end, to be killed at any moment.

Before each change it writes down what it is about to do, and afterwards that it was done: a
line each in a file, which is there whole when the process is not.
"""

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpfn.serving.library import UnknownModel
from tests.serving.repository.stored import Held, commit, open_store

__all__ = ["NAMES", "TAGS", "Change", "after", "contents", "drive", "read_log"]

NAMES = ("one", "two")
TAGS = ("stable", "next")
_NO_TAG = 9
_KINDS = ("upload",) * 4 + ("tag",) * 3 + ("delete", "delete", "restore", "restore", "clear")


class Change(NamedTuple):
    """What is done: of a model, with a number or what is uploaded, and a tag."""

    kind: str
    name: str
    number: int
    tag: str = ""


def contents(seed: int) -> dict[str, bytes]:
    """Return the files of an upload."""
    return {"model.tflite": b"%d" % seed * 500, "assets/labels.txt": b"a\nb\n%d\n" % seed}


def drive(place: Path, log: Path, seed: int) -> None:
    """Change a store until somebody ends the process."""
    store = open_store(place)
    chance = random.Random(seed)
    with log.open("ab", buffering=0) as file:

        def note(*told: object) -> None:
            file.write(json.dumps(told).encode() + b"\n")

        note("began")
        while True:
            change = Change(
                chance.choice(_KINDS), chance.choice(NAMES), chance.randint(1, 9),
                chance.choice(TAGS),
            )  # fmt: skip
            note("do", *change)
            with suppress(UnknownModel):
                _apply(store, change)
            note("done")


def _apply(store, change: Change) -> None:
    name, number = change.name, change.number
    if change.kind == "upload":
        commit(store, name, contents(number))
    elif change.kind == "tag":
        store.tag(name, change.tag, None if number == _NO_TAG else number, who="test")
    elif change.kind == "delete":
        store.delete(name, number)
    elif change.kind == "clear":
        store.delete(name)
    else:
        store.restore(name, number)


def after(state: Mapping[str, Held], change: Change) -> list[dict[str, Held]]:
    """Return the states that a change may lead through, the last one is where it ends."""
    old = state.get(change.name, Held({}, {}, {}))
    return [dict(state), *({**state, change.name: new} for new in _STEPS[change.kind](old, change))]


def _uploaded(old: Held, change: Change) -> Sequence[Held]:
    latest = old.versions[max(old.versions)] if old.versions else None
    if latest == contents(change.number):
        return []
    number = max([*old.versions, *old.trash], default=0) + 1
    return [old._replace(versions={**old.versions, number: contents(change.number)})]


def _tagged(old: Held, change: Change) -> Sequence[Held]:
    tags = {tag: to for tag, to in old.tags.items() if tag != change.tag}
    if change.number == _NO_TAG:
        return [old._replace(tags=tags)] if old.versions else []
    if change.number not in old.versions:
        return []
    return [old._replace(tags={**tags, change.tag: change.number})]


def _restored(old: Held, change: Change) -> Sequence[Held]:
    if change.number not in old.trash:
        return []
    versions = {**old.versions, change.number: old.trash[change.number]}
    trash = {number: of for number, of in old.trash.items() if number != change.number}
    return [old._replace(versions=versions, trash=trash)]


def _deleted(old: Held, change: Change) -> Sequence[Held]:
    steps = []
    chosen = sorted(old.versions) if change.kind == "clear" else [change.number]
    for each in chosen:  # all of a model: one after the other
        if each in old.versions:
            versions = {number: of for number, of in old.versions.items() if number != each}
            trash = {**old.trash, each: old.versions[each]}
            old = old._replace(versions=versions, trash=trash)
            steps.append(old)
    return steps


_STEPS = {
    "upload": _uploaded,
    "tag": _tagged,
    "restore": _restored,
    "delete": _deleted,
    "clear": _deleted,
}


def read_log(log: Path) -> tuple[list[Change], bool]:
    """Return what was begun, in order, and whether the last of it was done."""
    changes, done = [], True
    for line in log.read_bytes().splitlines(keepends=True):
        told = json.loads(line) if line.endswith(b"\n") else ["cut"]
        if told[0] == "do":
            changes.append(Change(*told[1:]))
        done = told[0] != "do"
    return changes, done

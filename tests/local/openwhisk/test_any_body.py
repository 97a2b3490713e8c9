"""Whatever is sent, entities are kept whole or not at all, and every refusal is one of ours."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpfn.local.openwhisk.documents import action_document
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.naming import EntityRef, is_name
from gpfn.local.openwhisk.refusing import WhiskRefusal
from gpfn.local.state import State
from tests.local.openwhisk.whisk_server import WhiskServer, whisk_server

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
PAIRS = st.lists(st.one_of(VALUES, st.fixed_dictionaries({"key": st.text(), "value": VALUES})))
EXECS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["python:3", "blackbox", "sequence", "Python:Default"]) | VALUES,
        "code": st.text() | VALUES,
        "image": st.sampled_from(["a/b:c", "a"]) | VALUES,
        "main": VALUES,
        "components": st.lists(st.sampled_from(["/_/a", "/_/b"]) | VALUES) | VALUES,
    },
)
NUMBERS = st.integers(-1000, 400_000) | VALUES
LIMITS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("timeout", "memory", "logs", "concurrency", "instances"), NUMBERS),
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "exec": EXECS | VALUES,
        "parameters": PAIRS | VALUES,
        "annotations": PAIRS | VALUES,
        "limits": LIMITS | VALUES,
        "version": st.text("0123456789.", max_size=8) | VALUES,
        "publish": VALUES,
        "delAnnotations": st.lists(st.text()) | VALUES,
        "binding": VALUES,
        "trigger": VALUES,
        "action": VALUES,
    },
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(bodies=st.lists(BODIES, min_size=1, max_size=4))
def test_an_action_is_kept_whole_or_not_at_all(bodies: list[dict[str, Any]]) -> None:
    entities, ref = WhiskEntities(State()), EntityRef("", "a")
    kept, refused = None, []
    for body in bodies:
        try:
            action = entities.put_action(ref, body, overwrite=True)
        except WhiskRefusal as refusal:
            refused.append(refusal.status)
        else:
            kept = action_document(action, entities.code(action))
        if kept is not None:
            found = entities.action(ref)
            assert action_document(found, entities.code(found)) == kept
        else:
            assert entities.count("action") == 0
    assert {*refused} <= {400, 403, 404, 409, 413}


@pytest.fixture(scope="module")
def server() -> Iterator[WhiskServer]:
    with whisk_server() as made:
        yield made
        assert not made.log


@SETTINGS
@given(
    collection=st.sampled_from(["actions", "packages", "triggers", "rules"]),
    name=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8),
    method=st.sampled_from(["PUT", "GET", "DELETE", "POST", "PATCH"]),
    body=BODIES | VALUES,
)
def test_every_answer_is_one_of_the_platforms(
    server: WhiskServer, collection: str, name: str, method: str, body: Any
) -> None:
    reply = server.api(method, f"{collection}/{name}?overwrite=true", body)
    assert reply.status in (200, 400, 403, 404, 405, 409)
    if reply.status != 200:
        assert {*reply.json} == {"error", "code"}


@SETTINGS
@given(text=st.text(max_size=20))
def test_a_name_has_no_slash_and_no_space_at_its_ends(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert text == text.strip()
        assert "/" not in text

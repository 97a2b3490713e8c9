"""Requests of the agent as messages: invoke, trigger, intents."""

from gpfn.platforms.fn.wire import read_call


def test_by_invoke_headers_come_as_they_were_sent() -> None:
    incoming = read_call(
        (
            ("host", "localhost"),
            ("transfer-encoding", "chunked"),
            ("content-type", "a/b; c=d"),
            ("fn-call-id", "01X"),
            ("ce-id", "42"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("fn-http-h-x", "kept"),
        ),
        b"body",
    )
    assert not incoming.by_trigger
    assert incoming.call.id == "01X"
    assert incoming.call.platform == "fn"
    assert incoming.call.parameters == {}
    assert incoming.message.body == b"body"
    assert incoming.message.content_type == "a/b; c=d"
    assert incoming.message.headers == (
        ("fn-call-id", "01X"),
        ("ce-id", "42"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("fn-http-h-x", "kept"),
    )


def test_by_trigger_the_callers_headers_are_unwrapped_and_come_first() -> None:
    incoming = read_call(
        (
            ("host", "localhost"),
            ("user-agent", "Go-http-client/1.1"),
            ("content-type", "application/json"),
            ("fn-http-h-user-agent", "curl/8"),
            ("fn-http-h-content-length", "5"),
            ("fn-http-h-x-a", "1"),
            ("fn-http-h-x-a", "2"),
            ("fn-http-method", "PUT"),
            ("fn-intent", "httprequest"),
            ("accept-encoding", "gzip"),
        ),
        b"",
    )
    assert incoming.by_trigger
    assert incoming.message.content_type == "application/json"
    assert incoming.message.headers == (
        ("user-agent", "curl/8"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("fn-http-method", "PUT"),
        ("fn-intent", "httprequest"),
        ("accept-encoding", "gzip"),
    )


def typed(content_type: str, *headers: tuple[str, str]) -> str:
    """Return what becomes of a content type under ``--fn-intent cloudevent``."""
    given = (("content-type", content_type), ("fn-intent", "cloudevent"), *headers)
    return read_call(given, b"{}").message.content_type


def test_the_intent_of_an_event_makes_an_untyped_body_a_structured_event() -> None:
    for untyped in ("text/plain", "", "Application/JSON; charset=utf-8"):
        assert typed(untyped) == "application/cloudevents+json"


def test_the_intent_changes_nothing_for_what_says_what_it_is() -> None:
    assert typed("application/x-npy") == "application/x-npy"
    batch = "application/cloudevents-batch+json"
    assert typed(batch) == batch
    assert typed("application/json", ("ce-specversion", "1.0")) == "application/json"

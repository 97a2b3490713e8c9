"""Pages of other sites cannot write, whatever they can make a browser send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.serving.browser import check_browser, own_hosts
from gpfn.serving.tokens import Forbidden

LOCAL = own_hosts("127.0.0.1", 9000)


@pytest.mark.parametrize(
    ("host", "port", "more", "names"),
    [
        ("127.0.0.1", 80, (), {"localhost", "127.0.0.1", "[::1]", "localhost:80"}),
        ("0.0.0.0", 9000, (), {"localhost:9000", "127.0.0.1:9000", "[::1]:9000"}),
        ("::1", 9000, (), {"[::1]", "[::1]:9000"}),
        ("10.0.0.7", 9000, (), {"10.0.0.7:9000", "localhost:9000"}),
        ("Gpu.Example.ORG", 9000, (), {"gpu.example.org:9000", "gpu.example.org"}),
        ("::", 9000, ("models.example.org",), {"models.example.org", "models.example.org:9000"}),
        ("::", 9000, ("a.test:444", "[fe80::1]"), {"a.test:444", "[fe80::1]:9000"}),
    ],
)
def test_names_of_a_server(host: str, port: int, more: tuple[str, ...], names: set[str]) -> None:
    found = own_hosts(host, port, more)
    assert names <= found
    assert not found & {"0.0.0.0", "0.0.0.0:9000", "[::]:9000", "::", "", ":9000"}
    assert "a.test" not in found
    assert "a.test:444:9000" not in found


GOOD = [
    [("host", "localhost:9000")],
    [("host", "LOCALHOST:9000"), ("content-type", "application/json")],
    [("host", "127.0.0.1:9000"), ("origin", "http://127.0.0.1:9000")],
    [("host", "[::1]:9000"), ("origin", "http://[::1]:9000"), ("sec-fetch-site", "same-origin")],
    [("host", "localhost:9000"), ("origin", "https://localhost:9000")],
    [("host", "localhost:9000"), ("sec-fetch-site", "none")],
]

BAD = [
    ("host", []),
    ("host", [("host", "")]),
    ("host", [("host", "evil.test")]),
    ("host", [("host", "evil.test:9000")]),
    ("host", [("host", "localhost.evil.test:9000")]),
    ("host", [("host", "localhost:9001")]),
    ("host", [("host", "127.0.0.1.evil.test:9000")]),
    ("host", [("host", "localhost:9000"), ("host", "evil.test")]),
    ("host", [("host", "user@localhost:9000")]),
    ("host", [("host", "evil.test"), ("origin", "http://evil.test"),
              ("sec-fetch-site", "same-origin")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost.evil.test")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost.evil.test:9000")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://evil.test")]),
    ("origin", [("host", "localhost:9000"), ("origin", "null")]),
    ("origin", [("host", "localhost:9000"), ("origin", "")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost:9001")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://127.0.0.1:9000")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost:9000/")]),
    ("origin", [("host", "localhost:9000"), ("origin", "file://localhost:9000")]),
    ("origin", [("host", "localhost:9000"), ("origin", "http://localhost:9000"),
                ("origin", "http://evil.test")]),
    ("sec-fetch-site", [("host", "localhost:9000"), ("sec-fetch-site", "cross-site")]),
    ("sec-fetch-site", [("host", "localhost:9000"), ("sec-fetch-site", "same-site")]),
    ("sec-fetch-site", [("host", "localhost:9000"), ("origin", "http://localhost:9000"),
                        ("sec-fetch-site", "cross-site")]),
]  # fmt: skip


@pytest.mark.parametrize("headers", GOOD)
@pytest.mark.parametrize("token", [False, True])
def test_programs_and_our_own_page(headers: list[tuple[str, str]], token: bool) -> None:
    check_browser(headers, LOCAL, token=token)


@pytest.mark.parametrize(("field", "headers"), BAD)
def test_pages_of_others(field: str, headers: list[tuple[str, str]]) -> None:
    """gradio-app/gradio#13594: a loopback address alone guards nothing."""
    with pytest.raises(Forbidden) as caught:
        check_browser(headers, LOCAL)
    assert (caught.value.status, caught.value.field) == (403, field)


@pytest.mark.parametrize(("field", "headers"), BAD)
def test_a_token_frees_programs_of_names_and_nothing_else(
    field: str, headers: list[tuple[str, str]]
) -> None:
    """A server in a cluster has names that it does not know."""
    from_browser = any(name in ("origin", "sec-fetch-site") for name, _ in headers)
    if not from_browser:
        check_browser(headers, LOCAL, token=True)
        return
    with pytest.raises(Forbidden):
        check_browser(headers, LOCAL, token=True)


@given(st.text(max_size=30), st.text(max_size=40))
def test_only_exact_names_pass(host: str, origin: str) -> None:
    if host.lower() not in LOCAL:
        with pytest.raises(Forbidden):
            check_browser([("host", host)], LOCAL)
    with pytest.raises(Forbidden):
        check_browser([("host", "localhost:9000"), ("origin", f"http://localhost:9000{origin}x")],
                      LOCAL)  # fmt: skip


def test_a_link_from_the_same_site_leads_here_where_it_may() -> None:
    link = [("host", "localhost:9000"), ("sec-fetch-site", "same-site")]
    check_browser(link, LOCAL, same_site=True)
    with pytest.raises(Forbidden):
        check_browser(link, LOCAL)
    for more in (("origin", "http://localhost:9001"), ("sec-fetch-site", "cross-site")):
        with pytest.raises(Forbidden):
            check_browser([*link, more], LOCAL, same_site=True)

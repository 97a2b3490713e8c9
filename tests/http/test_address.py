"""URLs and proxies: what is read from them, and what is never shown."""

import pytest

from gpfn.errors import SetupError
from gpfn.http.address import Address, parse_url, proxy_for


@pytest.mark.parametrize(
    ("url", "address", "authority"),
    [
        ("http://h", Address("http", "h", 80, "/"), "h"),
        ("https://h", Address("https", "h", 443, "/"), "h"),
        ("HTTP://H:9000/a/b?c=d#e", Address("http", "h", 9000, "/a/b?c=d"), "h:9000"),
        ("https://h:443/", Address("https", "h", 443, "/"), "h"),
        ("http://h:443?q", Address("http", "h", 443, "/?q"), "h:443"),
        ("http://[::1]:90/", Address("http", "::1", 90, "/"), "[::1]:90"),
        ("http://h/\u00e9%20", Address("http", "h", 80, "/%C3%A9%20"), "h"),
        ("http://b\u00fccher.test", Address("http", "xn--bcher-kva.test", 80, "/"), None),
        ("http://u@h", Address("http", "h", 80, "/", "Basic dTo="), "h"),
        ("http://u:p%3A%40@h", Address("http", "h", 80, "/", "Basic dTpwOkA="), "h"),
    ],
)
def test_urls(url: str, address: Address, authority: str | None) -> None:
    assert parse_url(url) == address
    assert parse_url(url).authority == (authority or address.host)


@pytest.mark.parametrize(
    "url",
    [
        *("", "h", "h:9000", "ftp://h", "http://", "http:///x", "http://h:x", "http://h:99999"),
        *("http://h:0", "http://h /", "http://h/\r\nX: y", "http://h\t", "http://[::1", "unix:/x"),
        "http://" + "\u00fc" * 99,
        "http://h/\udcff",
        "http://\udcff.example/",
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_url(url.replace("//", "//user:secret@"))
    assert caught.value.field == "url"
    assert "secret" not in str(caught.value)


def test_neither_user_nor_password_nor_query_is_shown() -> None:
    address = parse_url("https://user:secret@h:1/path/?token=secret")
    for text in (address.shown, repr(address), str(address), f"{address}"):
        assert "secret" not in text
        assert "user" not in text
        assert "https://h:1/path?…" in text
    assert parse_url("http://h/").shown == "http://h"


WITH_PROXY = {"http_proxy": "http://p:1", "https_proxy": "p:2"}


@pytest.mark.parametrize(
    ("url", "environ", "port"),
    [
        ("http://h", {}, None),
        ("http://h", WITH_PROXY, 1),
        ("https://h", WITH_PROXY, 2),
        ("http://h", {"https_proxy": "p:2"}, None),
        ("http://h", {"all_proxy": "p:3"}, 3),
        ("https://h", {"ALL_PROXY": "p:3", "HTTPS_PROXY": "p:4"}, 4),
        ("http://h", {"HTTP_PROXY": "p:5"}, 5),
        ("http://h", {"HTTP_PROXY": "p:5", "http_proxy": "p:6"}, 6),
        ("http://h", {"HTTP_PROXY": "p:5", "http_proxy": ""}, None),
        ("http://h", {"HTTP_PROXY": "p:5", "REQUEST_METHOD": "GET"}, None),
        ("http://h", {"http_proxy": " "}, None),
        ("http://localhost:9", WITH_PROXY, None),
        ("http://a.localhost", WITH_PROXY, None),
        ("http://127.9.9.9", WITH_PROXY, None),
        ("http://[::1]", WITH_PROXY, None),
        ("http://10.0.0.1", WITH_PROXY, 1),
        ("http://h", {**WITH_PROXY, "no_proxy": "*"}, None),
        ("http://h.test", {**WITH_PROXY, "no_proxy": "other, h.test"}, None),
        ("http://h.test", {**WITH_PROXY, "NO_PROXY": "TEST"}, None),
        ("http://a.h.test", {**WITH_PROXY, "no_proxy": ".h.test"}, None),
        ("http://a.h.test", {**WITH_PROXY, "no_proxy": "*.h.test"}, None),
        ("http://ah.test", {**WITH_PROXY, "no_proxy": "h.test,.h.test"}, 1),
        ("http://h.test", {**WITH_PROXY, "no_proxy": "h.test:80"}, None),
        ("http://h.test", {**WITH_PROXY, "no_proxy": "h.test:81"}, 1),
        ("http://10.1.2.3", {**WITH_PROXY, "no_proxy": "10.0.0.0/8"}, None),
        ("http://11.1.2.3", {**WITH_PROXY, "no_proxy": "10.0.0.0/8"}, 1),
        ("http://10.1.2.3", {**WITH_PROXY, "no_proxy": "10.1.2.3"}, None),
        ("http://[fd00::1]", {**WITH_PROXY, "no_proxy": "[fd00::1]"}, None),
        ("http://[fd00::1]", {**WITH_PROXY, "no_proxy": "fd00::/8"}, None),
        ("http://h", {**WITH_PROXY, "no_proxy": " , ."}, 1),
    ],
)
def test_the_proxy_is_the_environments(url: str, environ: dict[str, str], port: int | None) -> None:
    proxy = proxy_for(parse_url(url), environ)
    assert (proxy and proxy.port) == port


def test_a_proxy_of_another_kind_is_refused_and_named() -> None:
    for value in ("socks5://user:secret@p", "https://user:secret@p", "http://user:secret@p:x"):
        with pytest.raises(SetupError) as caught:
            proxy_for(parse_url("http://h"), {"http_proxy": value})
        assert caught.value.field == "http_proxy"
        assert "secret" not in str(caught.value)

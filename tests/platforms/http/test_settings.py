"""The environment's settings are checked when they are read."""

import pytest

from gpfn.errors import SetupError
from gpfn.limits import Limits
from gpfn.platforms.http.settings import HttpSettings, loop_settings


def test_defaults_and_what_overrides_them() -> None:
    assert HttpSettings.from_env({}) == HttpSettings()
    given = {
        "GPFN_THREADS": "3",
        "GPFN_QUEUE": "0",
        "GPFN_REQUEST_TIMEOUT": "2.5",
        "GPFN_START_WINDOW": "0",
    }
    assert HttpSettings.from_env(given) == HttpSettings(3, 0, 2.5, 0.0)


def test_threads() -> None:
    assert HttpSettings(threads=3).most_threads == 3
    assert HttpSettings().most_threads >= 5


@pytest.mark.parametrize("name", ["GPFN_THREADS", "GPFN_QUEUE", "GPFN_REQUEST_TIMEOUT"])
@pytest.mark.parametrize("text", ["-1", "many", "nan", "inf", "1e9"])
def test_nonsense_is_refused(name: str, text: str) -> None:
    wanted = "seconds from 0 to 86400" if name == "GPFN_REQUEST_TIMEOUT" else "a whole number"
    with pytest.raises(SetupError, match=f"{name}: expected {wanted}, got {text!r}"):
        HttpSettings.from_env({name: text})


def test_the_bounds_of_the_server() -> None:
    given = {
        "GPFN_MAX_CONNECTIONS": "10",
        "GPFN_MAX_INFLIGHT_BYTES": "1MiB",
        "GPFN_HEAD_TIMEOUT": "1",
        "GPFN_BODY_TIMEOUT": "2",
        "GPFN_IDLE_TIMEOUT": "3",
    }
    bounds = loop_settings(Limits(body_bytes=1000), given)
    assert bounds[:4] == (10, 1.0, 2.0, 3.0)
    assert bounds.body_bytes == 1 << 20


def test_one_body_of_the_largest_size_is_always_let_in() -> None:
    bounds = loop_settings(Limits(body_bytes=5 << 20), {"GPFN_MAX_INFLIGHT_BYTES": "1MiB"})
    assert bounds.body_bytes == 5 << 20
    assert loop_settings(Limits(body_bytes=1 << 30), {}).body_bytes == 2 << 30

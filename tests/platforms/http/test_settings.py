"""The environment's settings are checked when they are read."""

import pytest

from gpfn.errors import SetupError
from gpfn.platforms.http.workers import HttpSettings


def test_defaults_and_what_overrides_them() -> None:
    assert HttpSettings.from_env({}) == HttpSettings()
    given = {
        "GPFN_WORKERS": "3",
        "GPFN_QUEUE": "0",
        "GPFN_REQUEST_TIMEOUT": "2.5",
        "GPFN_START_WINDOW": "0",
    }
    assert HttpSettings.from_env(given) == HttpSettings(3, 0, 2.5, 0.0)


def test_threads() -> None:
    assert HttpSettings(workers=3).threads == 3
    assert HttpSettings().threads >= 5


@pytest.mark.parametrize("name", ["GPFN_WORKERS", "GPFN_QUEUE", "GPFN_REQUEST_TIMEOUT"])
@pytest.mark.parametrize("text", ["-1", "many", "nan", "inf", "1e9"])
def test_nonsense_is_refused(name: str, text: str) -> None:
    wanted = "seconds from 0 to 86400" if name == "GPFN_REQUEST_TIMEOUT" else "a whole number"
    with pytest.raises(SetupError, match=f"{name}: expected {wanted}, got {text!r}"):
        HttpSettings.from_env({name: text})

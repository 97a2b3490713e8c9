"""Bounds of requests and results."""

import pytest

from gpfn.errors import SetupError
from gpfn.platforms.openwhisk.activation import Settings


def test_the_platforms_own_bounds() -> None:
    settings = Settings.from_env({})
    assert settings == Settings(1 << 20, 1 << 20)
    assert settings.run_bytes > 1 << 20
    assert settings.limits({}).body_bytes == 64 << 20, "48 MiB of code have to come through"


def test_bounds_that_an_operator_sets() -> None:
    environ = {"GPFN_MAX_BODY_BYTES": "100000000", "GPFN_MAX_RESULT_BYTES": "7"}
    settings = Settings.from_env(environ)
    assert settings == Settings(100_000_000, 7)
    assert settings.limits(environ).body_bytes == settings.run_bytes


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "²"])
def test_bounds_that_are_none(text: str) -> None:
    with pytest.raises(SetupError, match="GPFN_MAX_RESULT_BYTES"):
        Settings.from_env({"GPFN_MAX_RESULT_BYTES": text})

"""The package's front: every name is there, and nothing is loaded before it is used."""

import subprocess
import sys
from importlib.resources import files

import pytest

from gpfn import graphpipe


def loaded(code: str) -> set[str]:
    """Return the modules that are loaded after ``code``."""
    listing = f"{code}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing() -> None:
    more = loaded("import gpfn.graphpipe")
    assert "numpy" not in more
    assert {name for name in more if name.startswith("gpfn")} == {"gpfn", "gpfn.graphpipe"}


def test_values_load_neither_codec_nor_client() -> None:
    more = loaded("from gpfn.graphpipe import InferRequest, Type, Error")
    assert "numpy" not in more
    assert not {"gpfn.graphpipe.encode", "gpfn.graphpipe.decode", "gpfn.graphpipe.client"} & more


def test_the_client_loads_no_http_library() -> None:
    more = loaded("from gpfn.graphpipe import Client")
    assert not {"requests", "urllib3", "http.client", "ssl", "asyncio", "urllib.request"} & more


def test_every_name_is_there() -> None:
    for name in graphpipe.__all__:
        assert getattr(graphpipe, name).__name__ == name
    assert set(graphpipe.__all__) <= set(dir(graphpipe))
    with pytest.raises(AttributeError, match=r"'gpfn\.graphpipe' has no attribute 'nothing'"):
        _ = graphpipe.nothing


def test_the_schema_is_shipped() -> None:
    schema = files("gpfn.graphpipe").joinpath("graphpipe.fbs").read_text()
    assert "root_type Request" in schema

"""The compose files in deploy/, against their schema and against what they start.

``compose_spec.json`` is the schema that docker-compose 1.29.2 (Apache-2.0) carries.
"""

import argparse
import copy
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from gpfn.build.recipe import Recipe
from gpfn.cli.classy import add_arguments as add_client_arguments
from gpfn.cli.serve import add_arguments
from gpfn.platforms.table import find_platform
from gpfn.serving import ServerSettings
from gpfn.settings import SETTINGS, check_settings, parse_duration
from tests.conftest import ROOT
from tests.deploy.test_descriptors import PUBLIC, Document, documents

SERVER = find_platform("server", "image").image
PORT = SERVER.port if SERVER else 0


def check_compose(document: Document) -> None:
    """Check a compose file, and that the schema finds a mistake in it."""
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.validate(document)
    wrong = copy.deepcopy(document)
    next(iter(wrong["services"].values()))["prots"] = []
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


def test_compose() -> None:
    (checked,) = documents("compose/compose.yaml")
    check_compose(checked)
    services = checked["services"]
    server = services["forecast"]["environment"]["GP_SERVER_URL"]
    assert server == f"http://models:{PORT}"
    for name in ("forecast", "client"):
        assert services[name]["depends_on"]["models"]["condition"] == "service_healthy"
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == {"models", "forecast"}, "what needs no image from elsewhere"
    assert "HEALTHCHECK" in Recipe("server").dockerfile(), "or it never becomes healthy"


def test_compose_of_classy() -> None:
    """Its servers are those of the pipeline's file, and their options gpfn's."""
    (checked,) = documents("compose/classy.yaml")
    check_compose(checked)
    services = checked["services"]
    stages = tomllib.loads((ROOT / "pipelines" / "classy.pipeline.toml").read_text())["stages"]
    assert {*services} == {*stages, "classy"}
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    serves = {name: parser.parse_args(services[name].get("command", [])) for name in stages}
    assert {name: args.next for name, args in serves.items()} == {
        "download": "", "prepare": f"http://model:{PORT}", "model": "",
    }  # fmt: skip
    assert serves["download"].allow_next == ["prepare"]
    assert int(serves["download"].parallel) == stages["download"]["parallel"]
    for name, stage in stages.items():
        given = services[name].get("environment", {})
        check_settings({key: text for key, text in given.items() if "$" not in text})
        assert set(given) <= set(SETTINGS)
        assert stage.get("settings", {}).items() <= given.items()
        grace = parse_duration(services[name]["stop_grace_period"], field="")
        assert grace >= ServerSettings().drain_seconds + 5
    assert services["download"]["ports"] == [f"127.0.0.1:7001:{PORT}"]
    assert stages["download"]["listen"] == "127.0.0.1:7001", "where a client asks by itself"


def test_the_client_in_compose_waits_for_all_stages() -> None:
    (checked,) = documents("compose/classy.yaml")
    client = checked["services"].pop("classy")
    assert {
        name: wait["condition"] for name, wait in client["depends_on"].items()
    } == dict.fromkeys(checked["services"], "service_healthy")
    parser = argparse.ArgumentParser()
    add_client_arguments(parser)
    command, *words = client["entrypoint"]
    args = parser.parse_args([*words[1:], "burger.jpg"])
    assert (command, words[0]) == ("/opt/gpfn/bin/gpfn", "classy")
    assert (args.at, args.next) == (f"http://download:{PORT}", f"http://prepare:{PORT}")
    assert checked["networks"]["inside"] == {"internal": True}
    ways = {name: service["networks"] for name, service in checked["services"].items()}
    assert ways == {"model": ["inside"], "prepare": ["inside"], "download": ["inside", "outside"]}


def test_a_container_of_compose_may_do_nothing_but_serve() -> None:
    for name in ("compose", "classy", "bridge"):
        (checked,) = documents(f"compose/{name}.yaml")
        for service in checked["services"].values():
            if service["image"].partition(":")[0] in PUBLIC:
                continue
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["mem_limit"]

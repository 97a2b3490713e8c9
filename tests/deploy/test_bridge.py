"""The bridge's descriptors: what they say, and that the bridge reads it."""

import argparse
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from confluent_kafka import Consumer

from gpfn.bridge import engine
from gpfn.bridge.config import read_bridge
from gpfn.bridge.kafka import member
from gpfn.bridge.kafka.client import ClientLog, made
from gpfn.bridge.kafka.group import consumer_settings
from gpfn.bridge.kafka.jars import KAFKA_VERSION
from gpfn.bridge.kafka.sink import KafkaSink
from gpfn.bridge.opening import kafka_settings
from gpfn.bridge.spec import BridgeSpec
from gpfn.build.stage.lock import EXTRAS
from gpfn.cli import bridge, build
from gpfn.platforms.table import PLATFORMS
from gpfn.settings import parse_duration, parse_size
from tests.conftest import ROOT
from tests.deploy.bridge_process import running_bridge
from tests.deploy.test_compose import check_compose
from tests.deploy.test_descriptors import NEWEST, OLDEST, Document, documents

KUBERNETES = "kubernetes/bridge.yaml"
COMPOSE = "compose/bridge.yaml"
SECRET = "not-to-be-seen"
LEAVING = engine._FLUSH_SECONDS + member._STOP_SECONDS
"""What the end of a bridge may take besides its drain."""


def parser(command: Any) -> argparse.ArgumentParser:
    """Return the parser of a command's module."""
    made = argparse.ArgumentParser()
    command.add_arguments(made)
    return made


def kind(wanted: str) -> Document:
    (found,) = [one for one in documents(KUBERNETES) if one["kind"] == wanted]
    return dict(found)


def pod() -> dict[str, Any]:
    return dict(kind("StatefulSet")["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    return dict(found)


def environ() -> dict[str, str]:
    """Return the variables of the first pod."""
    given = {}
    for one in container()["env"]:
        secret = "secretKeyRef" in one["valueFrom"]
        given[one["name"]] = SECRET if secret else "gpfn-bridge-0"
    return given


def spec_in_kubernetes(folder: Path) -> BridgeSpec:
    """Return what the file in the ConfigMap says."""
    (name,) = kind("ConfigMap")["data"]
    file = folder / name
    file.write_text(kind("ConfigMap")["data"][name])
    return read_bridge(file, environ())


def spec_in_compose() -> BridgeSpec:
    return read_bridge(ROOT / "deploy" / "compose" / "bridge.toml", {})


def services() -> dict[str, Any]:
    (document,) = documents(COMPOSE)
    return dict(document["services"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("wanted", ["ConfigMap", "Service", "StatefulSet", "PodDisruptionBudget"])
def test_the_schema(wanted: str, version: str) -> None:
    kubernetes_validate.validate(kind(wanted), version, strict=True)


def test_the_documents_belong_together() -> None:
    stateful = kind("StatefulSet")
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    assert stateful["spec"]["selector"]["matchLabels"] == labels
    assert kind("Service")["spec"]["selector"] == labels
    assert kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert stateful["spec"]["serviceName"] == kind("Service")["metadata"]["name"]
    assert kind("Service")["spec"]["clusterIP"] == "None"
    assert kind("PodDisruptionBudget")["spec"]["maxUnavailable"] < stateful["spec"]["replicas"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert set(mounts) == set(volumes)
    assert volumes["config"]["configMap"]["name"] == kind("ConfigMap")["metadata"]["name"]
    (file,) = kind("ConfigMap")["data"]
    assert container()["command"][-1] == f"{mounts['config']}/{file}"


def test_the_bridge_reads_the_file_in_the_config_map(tmp_path: Path) -> None:
    spec = spec_in_kubernetes(tmp_path)
    assert spec.source.instance == "gpfn-bridge-0", "each pod is a member of its own"
    assert spec.source.settings["sasl.password"] == SECRET
    assert ("Authorization", f"Bearer {SECRET}") in spec.routes[0].headers
    assert spec.dead_letter
    (port,) = container()["ports"]
    assert spec.listen == f"0.0.0.0:{port['containerPort']}"
    (asked,) = kind("Service")["spec"]["ports"]
    assert asked["targetPort"] == port["name"]
    named = set(re.findall(r'"env:(\w+)"', next(iter(kind("ConfigMap")["data"].values()))))
    assert named == set(environ()), "what the file names is what the pod has"


def test_the_client_library_takes_its_settings(tmp_path: Path) -> None:
    """All of them, for both sides; the certificates are in the secret, and none is here."""
    spec = spec_in_kubernetes(tmp_path)
    place, drain = spec.source, spec.delivery.drain
    authority = place.settings["ssl.ca.location"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    (secret,) = [one["secret"] for one in pod()["volumes"] if one["name"] == "secrets"]
    assert authority in {f"{mounts['secrets']}/{item['path']}" for item in secret["items"]}
    plain = {key: text for key, text in kafka_settings(place).items() if text != authority}
    settings = consumer_settings(plain, place.group, place.instance, drain)
    log = ClientLog(lambda _: None, settings)
    made(Consumer, settings, log, side="source").close()
    KafkaSink(plain, log=lambda _: None)
    with pytest.raises(Exception, match="No such configuration property"):
        made(Consumer, {**settings, "sasl.pasword": "x"}, log, side="source")


def test_a_pod_ends_when_its_last_event_is_done(tmp_path: Path) -> None:
    drain = spec_in_kubernetes(tmp_path).delivery.drain
    assert pod()["terminationGracePeriodSeconds"] >= drain + LEAVING + 5
    grace = parse_duration(services()["bridge"]["stop_grace_period"], field="")
    assert grace >= spec_in_compose().delivery.drain + LEAVING + 5


def test_what_is_held_fits_the_memory(tmp_path: Path) -> None:
    held = spec_in_kubernetes(tmp_path).delivery.held_bytes
    limit = container()["resources"]["limits"]["memory"].replace("Mi", "MiB")
    assert 4 * held < parse_size(limit, field="")
    limit = services()["bridge"]["mem_limit"].replace("m", "MiB")
    assert 4 * spec_in_compose().delivery.held_bytes < parse_size(limit, field="")


def test_the_probes_ask_what_the_bridge_answers(tmp_path: Path) -> None:
    probes = [
        container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    ]
    assert {probe["port"] for probe in probes} == {"http"}
    check = urlsplit(services()["bridge"]["healthcheck"]["test"][-1]).path
    with running_bridge(tmp_path) as running:
        for path in {probe["path"] for probe in probes} | {check}:
            running.is_ready(path)
        assert running.get(probes[0]["path"] + "x")[0] == 404


def test_a_pod_may_do_nothing_but_bridge() -> None:
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["automountServiceAccountToken"] is False
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount.get("readOnly") for mount in container()["volumeMounts"]
               if mount["name"] != "temporary")  # fmt: skip


def test_no_credential_stands_in_it() -> None:
    text = (ROOT / "deploy" / KUBERNETES).read_text()
    secret = re.findall(r'^\s+"?[\w.]*(?:password|token|key)"? = "(.*)"$', text, re.MULTILINE)
    assert len(secret) == 2
    assert all(value.startswith("env:") for value in secret)
    assert all("value" not in one for one in container()["env"])


def commands() -> dict[str, list[str]]:
    """Return what containers start, but for the program itself."""
    found = {"kubernetes": container()["command"]}
    for name in ("bridge", "gpfn"):
        found[name] = services()[name]["entrypoint"]
    assert {words[0] for words in found.values()} == {"/opt/gpfn/bin/gpfn"}
    return {name: words[1:] for name, words in found.items()}


def test_what_is_started_is_a_command_of_gpfn() -> None:
    started = commands()
    for name in ("kubernetes", "bridge"):
        command, *words = started[name]
        assert command == "bridge"
        args = parser(bridge).parse_args(words)
        assert (args.action, args.file) == ("run", "/etc/gpfn/bridge.toml")
    assert started["gpfn"] == ["bridge"]


@pytest.mark.parametrize("name", [KUBERNETES, COMPOSE])
def test_the_commands_at_the_top_of_a_descriptor_are_gpfns(name: str) -> None:
    """The image is made by its first lines, with every client that the descriptor needs."""
    text = (ROOT / "deploy" / name).read_text().partition("\n\n")[0].replace("\\\n#", "")
    images = set(re.findall(r"^\s+image: (gpfn/bridge:\S+)$", (ROOT / "deploy" / name).read_text(),
                            re.MULTILINE))  # fmt: skip
    built = [line.split() for line in re.findall(r"gpfn build (.*)", text)]
    tags = {}
    for words in built:
        args = parser(build).parse_args(words)
        assert set(args.extra) <= set(EXTRAS)
        if args.tag:
            tags[args.tag] = set(args.extra)
    assert set(tags) == images
    assert all("kafka" in extras for extras in tags.values())
    for line in re.findall(r"run --rm gpfn (.*)", text):
        args = parser(bridge).parse_args(line.split())
        assert args.bridge == "/etc/gpfn/bridge.toml"


def test_compose() -> None:
    (document,) = documents(COMPOSE)
    check_compose(document)
    for place in [volume for one in services().values() for volume in one.get("volumes", [])]:
        source = place.partition(":")[0]
        there = (ROOT / "deploy" / "compose" / source).resolve()
        assert source in document["volumes"] or there.exists()
    assert services()["broker"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert services()["topics"]["image"] == services()["broker"]["image"]


def test_the_file_of_compose_names_what_compose_starts() -> None:
    spec = spec_in_compose()
    broker = services()["broker"]["environment"]
    assert broker["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{spec.source.address}"
    (script,) = services()["topics"]["command"]
    topics = set(re.findall(r"([a-z.]+):\d", script.partition("; do")[0]))
    assert topics == {*spec.source.topics, *spec.written}
    called = urlsplit(spec.routes[0].call)
    image = PLATFORMS["http"].image
    assert image
    assert (called.hostname, called.port) == ("forecast", image.port)
    assert "forecast" in services()
    assert services()["bridge"]["ports"] == [f"127.0.0.1:9100:{spec.listen.rpartition(':')[2]}"]
    server = PLATFORMS["server"].image
    assert server
    asked = services()["forecast"]["environment"]["GP_SERVER_URL"]
    assert asked == f"http://models:{server.port}"


def test_the_sample_events_find_the_route_of_compose() -> None:
    from gpfn.events.json_format import read_event

    route = spec_in_compose().routes[0]
    mounted = [volume.split(":") for volume in services()["gpfn"]["volumes"]]
    (folder,) = [source for source, inside, _ in mounted if inside == "/samples"]
    file = (ROOT / "deploy" / "compose" / folder / "forecasts.jsonl").resolve()
    events = [read_event(line) for line in file.read_bytes().splitlines()]
    assert len(events) == 3
    assert all(route.matches(event) for event in events)


def test_order_of_the_start() -> None:
    waits = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in services().items()
    }
    assert waits["topics"] == {"broker": "service_healthy"}
    assert waits["bridge"] == {
        "topics": "service_completed_successfully",
        "forecast": "service_healthy",
    }
    inside = {name for name, one in services().items() if one["networks"] == ["inside"]}
    assert inside == set(services()) - {"bridge"}, "only the bridge's port is reached"


def test_the_descriptors_are_yaml_without_a_key_twice() -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), keys
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)  # type: ignore[return-value]

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for name in (KUBERNETES, COMPOSE):
        assert list(yaml.load_all((ROOT / "deploy" / name).read_text(), Strict))


def test_arguments_that_are_wrong_are_found() -> None:
    with pytest.raises(SystemExit):
        parser(bridge).parse_args(["run", "a.toml", "--wrong"])

"""The descriptors in deploy/, against published schemas and against what they deploy.

Kubernetes' schemas come in the package kubernetes-validate. Knative's Service is a custom
resource without a published JSON schema; what it runs is a Pod's spec, which is checked as
one. Compose files are in test_compose.py.
OpenWhisk's manifest and Fn's app.yaml have no schema: their keys are checked against those
that wskdeploy's and fn's parsers read. What watches the server is in test_monitoring.py.
"""

import argparse
import copy
import re
import urllib.error
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gpfn.build.recipe import default_tag
from gpfn.cli.serve import add_arguments
from gpfn.hosts.target import find_target
from gpfn.platforms.table import platforms_with
from gpfn.serving import ServerSettings
from gpfn.settings import SETTINGS, check_settings, parse_duration, parse_size
from tests.cli.serving import serve
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
IMAGES = {row.name: row.image for row in platforms_with("image")}
FILES = sorted(path for path in DEPLOY.rglob("*.yaml"))
WITHOUT_IMAGES = {"app.yaml", "prometheus-adapter.yaml"} | {
    path.name for path in FILES if path.parent.name in ("grafana", "prometheus")
}
PUBLIC = {"prom/prometheus", "grafana/grafana", "apache/kafka", "fnproject/fnserver"}
OTHERS = {"gpfn/bridge"}
"""Images with a tag that `gpfn build --tag` gives: test_bridge.py has the command."""
SERVER = "kubernetes/server.yaml"
OLDEST, NEWEST = "1.28.0", kubernetes_validate.latest_version()

Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    """Return the documents of a file."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def kind(name: str, wanted: str) -> Document:
    """Return the one document of a kind."""
    (found,) = [one for one in documents(name) if one["kind"] == wanted]
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("wanted", [
    "Service", "Deployment", "PersistentVolumeClaim", "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
])  # fmt: skip
def test_kubernetes(wanted: str, version: str) -> None:
    kubernetes_validate.validate(kind(SERVER, wanted), version, strict=True)


def test_the_schema_finds_a_mistake() -> None:
    document = copy.deepcopy(kind(SERVER, "Deployment"))
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_the_kubernetes_documents_belong_together() -> None:
    deployment = kind(SERVER, "Deployment")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert kind(SERVER, "Service")["spec"]["selector"] == labels
    budget = kind(SERVER, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    scaler = kind(SERVER, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert budget["minAvailable"] < scaler["minReplicas"], "or no node can ever be drained"
    assert "replicas" not in deployment["spec"], "the autoscaler's"
    (container,) = pod["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == IMAGES["server"].port
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == kind(SERVER, "PersistentVolumeClaim")["metadata"]["name"]


def server_container() -> Document:
    """Return the model server's container."""
    (container,) = kind(SERVER, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_a_pod_ends_when_its_last_request_is_answered() -> None:
    """What its end may take begins with preStop: kubelet counts that as well."""
    spec = kind(SERVER, "Deployment")["spec"]["template"]["spec"]
    pause = server_container()["lifecycle"]["preStop"]["exec"]["command"][-1]
    seconds = float(re.findall(r"sleep\((\d+)\)", pause)[0])
    assert spec["terminationGracePeriodSeconds"] >= seconds + ServerSettings().drain_seconds + 5
    (checked,) = documents("compose/compose.yaml")
    grace = checked["services"]["models"]["stop_grace_period"]
    assert parse_duration(grace, field="") >= ServerSettings().drain_seconds + 5


def test_the_servers_arguments_are_gpfns() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(server_container()["args"])
    (mount,) = [one for one in server_container()["volumeMounts"] if one["name"] == "models"]
    assert args.models_dir == mount["mountPath"]
    assert args.extra == []
    ports = {port["name"]: port["containerPort"] for port in server_container()["ports"]}
    assert ports == {"http": IMAGES["server"].port, "grpc": int(args.grpc.rpartition(":")[2])}
    asked = {one["name"]: one["targetPort"] for one in kind(SERVER, "Service")["spec"]["ports"]}
    assert asked == {name: name for name in ports}


def test_what_bodies_may_take_fits_the_memory() -> None:
    container = server_container()
    given = {one["name"]: one["value"] for one in container["env"]}
    assert set(given) <= set(SETTINGS)
    check_settings(given)
    bodies = parse_size(given["GPFN_MAX_INFLIGHT_BYTES"], field="")
    memory = parse_size(container["resources"]["limits"]["memory"].replace("Mi", "MiB"), field="")
    assert bodies < memory / 2
    assert parse_size(given["GPFN_MAX_BODY_BYTES"], field="") < bodies


def test_the_probes_ask_what_the_server_answers(tmp_path: Path) -> None:
    container = server_container()
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {"http"}
    with serve(tmp_path, "--model", str(ROOT / "models" / "forecast.tflite")) as served:
        for path in {probe["path"] for probe in probes} | {IMAGES["server"].health}:
            served.get(path)  # raises for any status but 200
        with pytest.raises(urllib.error.HTTPError):
            served.get(probes[0]["path"] + "x")


def test_a_pod_may_do_nothing_but_serve() -> None:
    spec = kind(SERVER, "Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert server_container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_knative() -> None:
    (service,) = documents("knative/forecast.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
    template = service["spec"]["template"]
    spec = dict(template["spec"])
    assert spec.pop("containerConcurrency") > 0
    assert 0 < spec.pop("timeoutSeconds") <= 300
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(pod, NEWEST, strict=True)
    (container,) = spec["containers"]
    assert container["ports"][0]["containerPort"] == IMAGES["http"].port
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"].startswith("/health/")
    annotations = template["metadata"]["annotations"]
    known = {"metric", "target", "min-scale", "max-scale"}
    assert {name.removeprefix("autoscaling.knative.dev/") for name in annotations} == known
    assert all(isinstance(value, str) for value in annotations.values())


def test_openwhisk() -> None:
    (document,) = documents("openwhisk/manifest.yaml")
    assert set(document) == {"project"}
    assert set(document["project"]) == {"name", "packages"}
    for package in document["project"]["packages"].values():
        for action in package["actions"].values():
            # with "native" too, wskdeploy takes OpenWhisk's skeleton in the image's place
            assert set(action) <= {"docker", "web", "main", "limits", "inputs"}
            assert action["docker"]
            limits = action["limits"]
            assert set(limits) <= {"timeout", "memorySize", "logSize"}
            assert 128 <= limits["memorySize"] <= 512
            assert 100 <= limits["timeout"] <= 300_000
            assert 0 <= limits["logSize"] <= 10


def test_fn() -> None:
    (document,) = documents("fn/app.yaml")
    assert set(document) <= {"name", "config", "annotations", "syslog_url"}
    assert all(isinstance(value, str) for value in document["config"].values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_images_are_what_gpfn_builds_and_never_latest(path: Path) -> None:
    images = list(_values(list(yaml.safe_load_all(path.read_text())), {"image", "docker"}))
    names = {
        default_tag(find_target(str(folder)), platform).partition(":")[0]
        for folder in (ROOT / "functions").iterdir()
        if (folder / "func.yaml").is_file()
        for platform in IMAGES
    }
    names |= (
        {default_tag(None, platform).partition(":")[0] for platform in IMAGES} | PUBLIC | OTHERS
    )
    for image in images:  # the version is func.yaml's, which `fn deploy` counts up
        name, _, version = image.partition(":")
        assert name in names
        assert re.fullmatch(r"v?\d+\.\d+\.\d+(-litert)?", version)
    assert bool(images) == (path.name not in WITHOUT_IMAGES)


def _values(value: object, keys: set[str]) -> list[str]:
    if isinstance(value, list):
        return [found for one in value for found in _values(one, keys)]
    if isinstance(value, dict):
        here = [one for key, one in value.items() if key in keys and isinstance(one, str)]
        return here + [found for one in value.values() for found in _values(one, keys)]
    return []


def test_every_descriptor_is_in_the_readme() -> None:
    text = (DEPLOY / "README.md").read_text()
    for path in (*FILES, *DEPLOY.rglob("*.json")):
        assert str(path.relative_to(DEPLOY)) in text

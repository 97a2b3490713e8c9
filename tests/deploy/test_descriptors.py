"""The descriptors in deploy/, against published schemas and against what they deploy.

Kubernetes' schemas come in the package kubernetes-validate. Knative's Service is a custom
resource without a published JSON schema; what it runs is a Pod's spec, which is checked as
one. ``compose_spec.json`` is the schema that docker-compose 1.29.2 (Apache-2.0) carries.
OpenWhisk's manifest and Fn's app.yaml have no schema: their keys are checked against those
that wskdeploy's and fn's parsers read.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gpfn.build.recipe import Recipe, default_tag
from gpfn.hosts.target import find_target
from gpfn.platforms.table import platforms_with
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
IMAGES = {row.name: row.image for row in platforms_with("image")}
FILES = sorted(path for path in DEPLOY.rglob("*.yaml"))
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
    "Service", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"
])  # fmt: skip
def test_kubernetes(wanted: str, version: str) -> None:
    document = kind("kubernetes/graphpipe.yaml", wanted)
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_finds_a_mistake() -> None:
    document = copy.deepcopy(kind("kubernetes/graphpipe.yaml", "Deployment"))
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_the_kubernetes_documents_belong_together() -> None:
    deployment = kind("kubernetes/graphpipe.yaml", "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert kind("kubernetes/graphpipe.yaml", "Service")["spec"]["selector"] == labels
    budget = kind("kubernetes/graphpipe.yaml", "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    scaler = kind("kubernetes/graphpipe.yaml", "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert budget["minAvailable"] < scaler["minReplicas"], "or no node can ever be drained"
    assert "replicas" not in deployment["spec"], "the autoscaler's"
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == IMAGES["server"].port


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


def test_compose() -> None:
    (checked,) = documents("compose/compose.yaml")
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(checked)
    services = checked["services"]
    server = services["forecast"]["environment"]["GP_SERVER_URL"]
    assert server == f"http://models:{IMAGES['server'].port}"
    assert services["forecast"]["depends_on"]["models"]["condition"] == "service_healthy"
    assert "HEALTHCHECK" in Recipe("server").dockerfile(), "or it never becomes healthy"
    services["forecast"]["prots"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(checked)


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
    for image in images:  # the version is func.yaml's, which `fn deploy` counts up
        name, _, version = image.partition(":")
        assert name in names
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert bool(images) == (path.parent.name != "fn")


def _values(value: object, keys: set[str]) -> list[str]:
    if isinstance(value, list):
        return [found for one in value for found in _values(one, keys)]
    if isinstance(value, dict):
        here = [one for key, one in value.items() if key in keys and isinstance(one, str)]
        return here + [found for one in value.values() for found in _values(one, keys)]
    return []


def test_every_descriptor_is_in_the_readme() -> None:
    text = (DEPLOY / "README.md").read_text()
    for path in FILES:
        assert str(path.relative_to(DEPLOY)) in text

"""Two replicas over one repository in an object store: what the descriptor says of it."""

import re
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from gpfn.platforms.table import PLATFORMS
from gpfn.serving import ServerSettings
from gpfn.serving.repository.bucket import SCHEMES
from gpfn.serving.repository.object_store import CACHE_BYTES
from gpfn.settings import SETTINGS, check_settings, parse_size
from tests.conftest import ROOT
from tests.deploy.test_descriptors import NEWEST, OLDEST, Document

FILE = ROOT / "deploy" / "kubernetes" / "repository.yaml"


def kind(wanted: str) -> Document:
    (found,) = [one for one in yaml.safe_load_all(FILE.read_text()) if one["kind"] == wanted]
    return dict(found)


def pod() -> dict[str, Any]:
    return dict(kind("Deployment")["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    return dict(found)


def options() -> dict[str, str]:
    found = (re.fullmatch(r"--([a-z-]+)=(.+)", each) for each in container()["args"])
    return {each[1]: each[2] for each in found if each}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("wanted", ["Service", "Deployment", "PodDisruptionBudget"])
def test_the_schema(wanted: str, version: str) -> None:
    kubernetes_validate.validate(kind(wanted), version, strict=True)


def test_the_documents_belong_together() -> None:
    labels = kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert kind("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert kind("Service")["spec"]["selector"] == labels
    assert kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert kind("Deployment")["spec"]["replicas"] == 2
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    image = PLATFORMS["server"].image
    assert image
    assert ports == {"http": image.port, "grpc": int(options()["grpc"].rpartition(":")[2])}
    asked = {one["name"]: one["targetPort"] for one in kind("Service")["spec"]["ports"]}
    assert asked == {name: name for name in ports}
    assert pod()["terminationGracePeriodSeconds"] >= 5 + ServerSettings().drain_seconds + 5


def test_its_places_are_mounted() -> None:
    assert len(options()) == len(container()["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert set(mounts) == set(volumes)
    assert options()["repository-cache"] == mounts["cache"]
    assert options()["tokens"].startswith(mounts["tokens"] + "/")
    assert urlsplit(options()["repository"]).scheme in SCHEMES
    limit = volumes["cache"]["emptyDir"]["sizeLimit"].replace("Gi", "GiB")
    assert parse_size(limit, field="") > CACHE_BYTES, "or the pod is evicted before the cache trims"


def test_what_is_in_memory_fits_it() -> None:
    given = {one["name"]: one["value"] for one in container()["env"]}
    assert set(given) <= set(SETTINGS)
    check_settings(given)
    limit = container()["resources"]["limits"]["memory"].replace("Gi", "GiB")
    vetting = parse_size(options()["vet-memory"], field="")
    bodies = parse_size(given["GPFN_MAX_INFLIGHT_BYTES"], field="")
    assert vetting + 2 * bodies < parse_size(limit, field="")


def test_no_credential_stands_in_it() -> None:
    text = FILE.read_text()
    assert not re.search(r"(?:KEY_ID|ACCESS_KEY)\s*[:=,]\s*(?:value|[A-Za-z0-9/+]{16})", text)
    assert container()["envFrom"] == [{"secretRef": {"name": "gpfn-repository-store"}}]
    assert kind("Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False

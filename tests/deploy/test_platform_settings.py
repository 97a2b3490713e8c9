"""The platforms' own settings for our images: OpenWhisk's runtimes, and a real Fn server.

OpenWhisk reads its manifest in ``core/entity/ExecManifest.scala``: the keys, what has to be
there, and what is refused are that file's. A real Fn server is started as ``fn start`` does it
(fnproject/cli, commands/start.go).
"""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from gpfn.build.recipe import RUNTIMES, default_tag
from gpfn.hosts.fn_server import FN_URL
from gpfn.platforms.table import find_platform
from gpfn.settings import parse_size
from tests.deploy.test_compose import check_compose
from tests.deploy.test_descriptors import DEPLOY, Document, documents

_IMAGE = {"name": True, "registry": False, "prefix": False, "tag": False}
_MANIFEST = {
    "kind": True, "image": True, "deprecated": False, "default": False, "attached": False,
    "requireMain": False, "sentinelledLogs": False, "stemCells": False,
}  # fmt: skip
_STEM_CELL = {"initialCount": True, "memory": True, "reactive": False}
_REACTIVE = dict.fromkeys(("minCount", "maxCount", "ttl", "threshold", "increment"), True)
_ATTACHED = {"attachmentName": True, "attachmentType": True}
_DURATION = re.compile(r"[1-9][0-9]* (?:second|minute|hour)s?")
_MEMORY = re.compile(r"[1-9][0-9]* (?:MB|GB)")
_FAMILY = re.compile(r"[a-z0-9]+")
"""As ``FAMILY:default`` is taken apart."""


def runtimes() -> Document:
    return dict(json.loads((DEPLOY / "openwhisk" / "runtimes.json").read_text()))


def check_keys(found: dict[str, Any], known: dict[str, bool]) -> None:
    """See that every key is known, and that none is missing."""
    assert set(found) <= set(known), set(found) - set(known)
    assert {key for key, needed in known.items() if needed} <= set(found)


def image_of(found: dict[str, Any]) -> str:
    """Return an image's public name."""
    check_keys(found, _IMAGE)
    return f"{found['prefix']}/{found['name']}:{found['tag']}"


def check_manifest(document: Document) -> None:
    """Check what OpenWhisk's controller would refuse to start with."""
    assert set(document) == {"runtimes", "blackboxes"}
    for family, versions in document["runtimes"].items():
        assert _FAMILY.fullmatch(family)
        defaults = [one["kind"] for one in versions if one.get("default")]
        assert len(defaults) == 1
        assert len({one["kind"] for one in versions}) == len(versions)
        for one in versions:
            check_keys(one, _MANIFEST)
            assert one["kind"].partition(":")[0] == family
            check_keys(one["attached"], _ATTACHED)
            for cell in one["stemCells"]:
                check_cell(cell)


def check_cell(cell: dict[str, Any]) -> None:
    """Check a stem cell: how many, of which memory, and how they follow cold starts."""
    check_keys(cell, _STEM_CELL)
    assert cell["initialCount"] > 0
    assert _MEMORY.fullmatch(cell["memory"])
    row = find_platform("openwhisk", "limits").limits
    assert row is not None
    memory = parse_size(cell["memory"].replace(" MB", "MiB"), field="") >> 20
    assert row.least_memory <= memory <= row.memory, "only an action of just this memory gets it"
    reactive = cell.get("reactive")
    if reactive is not None:
        check_keys(reactive, _REACTIVE)
        assert 0 <= reactive["minCount"] <= reactive["maxCount"]
        assert 0 < reactive["increment"] <= reactive["maxCount"]
        assert reactive["threshold"] > 0
        assert _DURATION.fullmatch(reactive["ttl"])


def test_the_runtimes_are_what_openwhisk_reads() -> None:
    check_manifest(runtimes())


def _without_default(document: Document) -> None:
    document["runtimes"]["gpfn"][0]["default"] = False


def _of_another_key(document: Document) -> None:
    document["runtimes"]["gpfn"][0]["stemcells"] = []


def _without_cells(document: Document) -> None:
    document["runtimes"]["gpfn"][0]["stemCells"][0]["initialCount"] = 0


def _of_an_old_key(document: Document) -> None:
    document["runtimes"]["gpfn"][1]["stemCells"][0]["count"] = 1


def _too_small(document: Document) -> None:
    document["runtimes"]["gpfn"][1]["stemCells"][0]["memory"] = "64 MB"


@pytest.mark.parametrize(
    "spoil", [_without_default, _of_another_key, _without_cells, _of_an_old_key, _too_small]
)
def test_the_check_finds_a_mistake(spoil: Callable[[Document], None]) -> None:
    wrong = copy.deepcopy(runtimes())
    spoil(wrong)
    with pytest.raises(AssertionError):
        check_manifest(wrong)


def test_the_runtimes_images_are_those_that_gpfn_builds() -> None:
    document = runtimes()
    kinds = document["runtimes"]["gpfn"]
    built = {f"gpfn:{runtime}": default_tag(None, "openwhisk", runtime) for runtime in RUNTIMES}
    assert {one["kind"]: image_of(one["image"]) for one in kinds}.items() <= built.items()
    images = [image_of(one["image"]) for one in kinds]
    assert [image_of(one) for one in document["blackboxes"]] == images, "their logs have an end"


def test_an_fn_server_is_started_as_fn_start_does() -> None:
    (document,) = documents("fn/compose.yaml")
    check_compose(document)
    (server,) = document["services"].values()
    assert server["entrypoint"] == ["./fnserver"]
    assert server["privileged"] is True
    mounts = dict(reversed(mount.rsplit(":", 1)) for mount in server["volumes"])
    environ = server["environment"]
    assert mounts[environ["FN_IOFS_PATH"]] == environ["FN_IOFS_DOCKER_PATH"]
    assert mounts["/var/run/docker.sock"] == "/var/run/docker.sock"
    assert mounts["/app/data"] in document["volumes"]
    assert server["ports"] == [f"{FN_URL.removeprefix('http://')}:8080"], "and for nobody else"

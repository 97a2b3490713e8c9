"""What of a Dockerfile or an image will fail on which platform.

That OpenWhisk pulls ``latest`` at every start is in its DockerContainer.scala.
"""

import re
from collections.abc import Mapping

from gpfn.build.facts import Facts, Found, Rule

__all__ = ["IMAGE_RULES"]

_LARGE_IMAGE = 500_000_000


def _tags(facts: Facts) -> Found:
    for name in re.findall(r"^FROM\s+(\S+)", facts.dockerfile, re.MULTILINE | re.IGNORECASE):
        if not name.startswith("$") and _is_latest(name) and not _is_stage(name, facts.dockerfile):
            yield "warns", "all", f"Dockerfile: FROM {name} is another image every day"
    for key in ("build_image", "run_image"):
        if facts.values.text(key) and _is_latest(facts.values.text(key)):
            yield "warns", "fn", f"{key}: {facts.values.text(key)} is another image every day"
    if facts.image and _is_latest(facts.image.name):
        text = f"{facts.image.name}: latest is pulled at every cold start, and fails without"
        yield "fails", "openwhisk", text


def _is_latest(name: str) -> bool:
    last = name.rpartition("/")[2]
    return "@" not in last and (":" not in last or last.endswith(":latest"))


def _is_stage(name: str, dockerfile: str) -> bool:
    pattern = rf"^FROM\s+\S+\s+AS\s+{re.escape(name)}\s*$"
    return re.search(pattern, dockerfile, re.MULTILINE | re.IGNORECASE) is not None


def _volumes(facts: Facts) -> Found:
    if re.search(r"^\s*VOLUME\b", facts.dockerfile, re.MULTILINE | re.IGNORECASE):
        yield "fails", "fn", "Dockerfile: VOLUME; Fn refuses such an image with 400"
    if facts.image and facts.image.volumes:
        text = f"{facts.image.name}: VOLUME {', '.join(facts.image.volumes)}; Fn refuses it"
        yield "fails", "fn", text


def _user(facts: Facts) -> Found:
    users = re.findall(r"^USER\s+(\S+)", facts.dockerfile, re.MULTILINE | re.IGNORECASE)
    if facts.dockerfile and users and users[-1].split(":")[0] in ("0", "root"):
        yield "warns", "all", "Dockerfile: ends as USER root; Fn runs it as 1000:1000 anyway"
    if facts.image and facts.image.user in ("", "0", "root", "0:0"):
        text = f"{facts.image.name}: runs as root; Fn runs it as 1000:1000 anyway"
        yield "warns", "all", text


def _image(facts: Facts) -> Found:
    if facts.image is None:
        return
    if "gpfn.platform" not in facts.image.labels:
        yield "fails", "all", f"{facts.image.name}: has no gpfn; build it with gpfn build"
    if facts.image.size > _LARGE_IMAGE:
        text = f"{facts.image.name}: {facts.image.size / 1e6:.0f} MB have to be pulled before"
        yield "warns", "all", f"{text} the first start"


def _dockerfile(facts: Facts) -> Found:
    runtime = facts.values.text("runtime")
    if facts.dockerfile:  # it wins, whatever the runtime
        return
    if runtime == "docker":
        yield "fails", "fn", "runtime: docker, and there is no Dockerfile: gpfn build --print"
    if runtime.startswith("python") and "fdk" not in facts.requirements.names:
        yield "fails", "fn", "runtime: python needs fdk in requirements.txt to start"


IMAGE_RULES: Mapping[str, Rule] = {
    "dockerfile": _dockerfile,
    "tags": _tags,
    "volumes": _volumes,
    "user": _user,
    "image": _image,
}
"""These rules by their names."""

"""What will fail on which platform: small rules over the facts of a function.

The limits are in the table of platforms; that OpenWhisk pulls ``latest`` at every start is
in its DockerContainer.scala.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from gpfn.build.facts import Facts
from gpfn.build.needs import Needs, image_packages, image_parts, missing_imports
from gpfn.build.stage.lock import EXTRAS
from gpfn.build.stage.requirements import Requirements
from gpfn.platforms.row import PlatformLimits
from gpfn.platforms.table import platforms_with

__all__ = ["RULES", "Finding", "Level", "examine"]

Level = Literal["fails", "warns"]
_MIB = 1 << 20
_ROOM = 1.25  # of the measured memory: a call needs more than an idle process
_MANY_THREADS = 20
_LARGE_IMAGE = 500_000_000
_WRITES = frozenset("wax+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: how bad, on which platform, what, and what to do."""

    level: Level
    platform: str
    rule: str
    text: str


_Found = Iterator[tuple[Level, str, str]]


def _limits() -> Iterator[tuple[str, str, PlatformLimits]]:
    """Yield each platform's name, its title and its limits; a limit of 0 is none."""
    for row in platforms_with("limits"):
        if row.limits is not None:
            yield row.name, row.title, row.limits


def _start(facts: Facts) -> _Found:
    measured = facts.measured
    if measured is None:
        return
    if measured.problem:
        yield "fails", "all", f"it does not start: {measured.problem}"
        return
    for name, title, limits in _limits():
        text = f"listens after {measured.start:.1f} s; {title} waits {limits.start_seconds:g} s"
        if 0 < limits.start_seconds < measured.start:
            yield "fails", name, f"it {text}"
        elif 0 < limits.start_seconds < 2 * measured.start:
            yield "warns", name, f"here it {text}"


def _memory(facts: Facts) -> _Found:
    limit = facts.target.memory
    used = facts.measured.memory if facts.measured else 0
    if used > limit * _MIB:
        yield "fails", "all", f"memory: {limit} in func.yaml, and it uses {used / _MIB:.0f} MiB"
    elif used * _ROOM > limit * _MIB:
        yield "warns", "all", f"memory: {limit} leaves little room over {used / _MIB:.0f} MiB"
    for name, title, limits in _limits():
        if 0 < limits.memory < limit:
            yield "fails", name, f"memory: {limit} is over {title}'s usual limit of {limits.memory}"


def _threads(facts: Facts) -> _Found:
    count = facts.measured.threads if facts.measured else 0
    for name, title, limits in _limits():
        most = limits.threads
        if 0 < most <= count:
            text = f"{count} threads; {title} allows {most} processes and threads in all"
            yield "fails", name, text
        elif most and count > _MANY_THREADS:
            yield "warns", name, f"{count} threads of {most}; more cores may make more of them"


def _timeout(facts: Facts) -> _Found:
    timeout = facts.target.timeout
    for name, title, limits in _limits():
        if 0 < limits.timeout_seconds < timeout:
            yield "fails", name, f"timeout: {timeout:g} is over {limits.timeout_seconds:g} s"
        if timeout < limits.shortest_timeout:
            text = f"timeout: {timeout:g} may leave a call no time at all"
            yield "warns", name, f"{text}: {title} cuts deadlines to whole seconds"


def _models(facts: Facts) -> _Found:
    for name, size in facts.models.items():
        if not size:
            yield "fails", "all", f"{name} is not on this machine: gpfn models pull fetches it"


def _zip(facts: Facts) -> _Found:
    size = facts.zip_bytes
    for name, _, limits in _limits():
        if 0 < limits.zip_bytes < size:
            most = f"{limits.zip_bytes / 1e6:.0f} MB"
            text = f"the folder has {size / 1e6:.0f} MB; a zip may have {most}: build an image"
            yield "fails", name, text


def _payload(facts: Facts) -> _Found:
    asked = facts.target.config.get("GPFN_MAX_BODY_BYTES", "")
    images = any("labels" in name for name in facts.models)
    for name, _, limits in _limits():
        most = limits.payload_bytes
        bound = f"parameters end at {most / _MIB:g} MiB, a file of {most * 0.744 / 1e3:.0f} kB"
        if most and asked.isdecimal() and int(asked) > most:
            yield "warns", name, f"GPFN_MAX_BODY_BYTES {asked}: {bound} in base64"
        if most and images:
            yield "warns", name, f"takes images: {bound} in base64"


def _tags(facts: Facts) -> _Found:
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


def _volumes(facts: Facts) -> _Found:
    if re.search(r"^\s*VOLUME\b", facts.dockerfile, re.MULTILINE | re.IGNORECASE):
        yield "fails", "fn", "Dockerfile: VOLUME; Fn refuses such an image with 400"
    if facts.image and facts.image.volumes:
        text = f"{facts.image.name}: VOLUME {', '.join(facts.image.volumes)}; Fn refuses it"
        yield "fails", "fn", text


def _user(facts: Facts) -> _Found:
    users = re.findall(r"^USER\s+(\S+)", facts.dockerfile, re.MULTILINE | re.IGNORECASE)
    if facts.dockerfile and users and users[-1].split(":")[0] in ("0", "root"):
        yield "warns", "all", "Dockerfile: ends as USER root; Fn runs it as 1000:1000 anyway"
    if facts.image and facts.image.user in ("", "0", "root", "0:0"):
        text = f"{facts.image.name}: runs as root; Fn runs it as 1000:1000 anyway"
        yield "warns", "all", text


def _image(facts: Facts) -> _Found:
    if facts.image is None:
        return
    if "gpfn.platform" not in facts.image.labels:
        yield "fails", "all", f"{facts.image.name}: has no gpfn; build it with gpfn build"
    if facts.image.size > _LARGE_IMAGE:
        text = f"{facts.image.name}: {facts.image.size / 1e6:.0f} MB have to be pulled before"
        yield "warns", "all", f"{text} the first start"


def _dockerfile(facts: Facts) -> _Found:
    runtime = facts.values.text("runtime")
    if facts.dockerfile:  # it wins, whatever the runtime
        return
    if runtime == "docker":
        yield "fails", "fn", "runtime: docker, and there is no Dockerfile: gpfn build --print"
    if runtime.startswith("python") and "fdk" not in facts.requirements.names:
        yield "fails", "fn", "runtime: python needs fdk in requirements.txt to start"


def _requirements(facts: Facts) -> _Found:
    names = facts.requirements.names
    if "uvloop" in names:
        yield "fails", "fn", "requirements.txt: with uvloop the stock fdk dies at its start"
    if names & {"tensorflow", "tensorflow-cpu"}:
        text = "requirements.txt: TensorFlow has 1.3 GB; gpfn build --runtime tensorflow has 0.7"
        yield "warns", "all", text


def _trouble(facts: Facts) -> _Found:
    for trouble in facts.troubles:
        yield "fails" if trouble.certain else "warns", "all", f"{trouble.field}: {trouble.text}"


def _packages(facts: Facts) -> _Found:
    """Look for what nothing installs; a backend comes with gpfn build and package by itself."""
    needs, read = facts.needs, facts.requirements
    if needs is None:
        return
    runtime, extras = image_parts(needs, read, "", ())
    provided = image_packages(runtime, {*extras, *read.extras})
    for module, place, package in missing_imports(needs, read, provided):
        text = f"{place}: imports {module}, which nothing installs; requirements.txt needs the line"
        yield "fails", "all", f"{text} {package}"
    stock = facts.values.text("runtime").startswith("python") and not facts.dockerfile
    for extra, wanted in _lacking(needs, read):
        text = f"requirements.txt: {wanted}; {_line_of(extra, read)}"
        if stock:
            yield "fails", "fn", text
        else:
            yield "warns", "all", f"{text}, or let gpfn build or package do it"


def _lacking(needs: Needs, read: Requirements) -> Iterator[tuple[str, str]]:
    """Yield gpfn's extras that requirements.txt does not ask for, with what needs them."""
    backends = {row.extra: (row.packages, model) for row, model in needs.backends.items()}
    for extra in sorted(needs.extras - read.extras):
        packages, model = backends.get(extra, (EXTRAS.get(extra, ()), "the code"))
        if not read.names.intersection(packages):
            yield extra, f"{model} needs {', '.join(packages) or extra}"


def _line_of(extra: str, read: Requirements) -> str:
    """Return what to write into requirements.txt, to the letter."""
    wanted = f"gpfn[{','.join(sorted({extra, *read.extras}))}]"
    return f"write {wanted} for gpfn" if "gpfn" in read.names else f"add {wanted}"


def _writes(facts: Facts) -> _Found:
    for line, place in _written(facts):
        yield "fails", "fn", f"func.py:{line}: writes {place}; only /tmp can be written"


def _written(facts: Facts) -> Iterator[tuple[int, str]]:
    """Find calls of open() that write outside of /tmp; path and mode have to be literals."""
    try:
        tree = ast.parse(facts.target.file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # that it does not start is another rule's finding
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open":
            given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            given += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
            words = [value for value in given if isinstance(value, str)]
            if len(words) > 1 and _WRITES & set(words[1]) and not words[0].startswith("/tmp/"):  # noqa: S108
                yield node.lineno, words[0]


RULES: dict[str, Callable[[Facts], _Found]] = {
    "start": _start,
    "memory": _memory,
    "threads": _threads,
    "timeout": _timeout,
    "models": _models,
    "model": _trouble,
    "packages": _packages,
    "writes": _writes,
    "payload": _payload,
    "zip": _zip,
    "dockerfile": _dockerfile,
    "requirements": _requirements,
    "tags": _tags,
    "volumes": _volumes,
    "user": _user,
    "image": _image,
}
"""Every rule by its name, in the order in which findings are told."""


def examine(facts: Facts) -> list[Finding]:
    """Return everything that the rules find, what fails first."""
    found = [
        Finding(level, platform, name, text)
        for name, rule in RULES.items()
        for level, platform, text in rule(facts)
    ]
    return sorted(found, key=lambda finding: finding.level != "fails")

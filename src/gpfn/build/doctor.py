"""What will fail on which platform: small rules over the facts of a function.

The limits are in the table of platforms.
"""

import ast
import errno
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from gpfn.build.facts import DOCKERFILE, Facts, Found, Level, Rule
from gpfn.build.image_rules import IMAGE_RULES
from gpfn.build.keys import keys_in_code, keys_in_config, keys_in_lines, secrets_inside
from gpfn.build.measure import Measured
from gpfn.build.models import left_behind
from gpfn.build.package_rules import PACKAGE_RULES
from gpfn.build.sample import SAMPLE
from gpfn.platforms.row import PlatformLimits
from gpfn.platforms.table import platforms_with

__all__ = ["RULES", "Finding", "examine"]

_MIB = 1 << 20
_ROOM = 1.25  # of the measured memory: a call needs more than an idle process
_STEP = 32  # MB
_MANY_THREADS = 20
_WRITES = frozenset("wax+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: how bad, on which platform, what, and what to do."""

    level: Level
    platform: str
    rule: str
    text: str


def _limits() -> Iterator[tuple[str, str, PlatformLimits]]:
    """Yield each platform's name, its title and its limits; a limit of 0 is none."""
    for row in platforms_with("limits"):
        if row.limits is not None:
            yield row.name, row.title, row.limits


def _start(facts: Facts) -> Found:
    measured = facts.measured
    if measured is None:
        return
    problems = {name: one.problem for name, one in _runs(facts).items() if one.problem}
    if len(set(problems.values())) == 1 and len(problems) == len(_runs(facts)):
        yield "fails", "all", f"it does not start: {_cured(measured.problem)}"
    else:
        for name, problem in problems.items():
            yield "fails", name, f"it does not start: {_cured(problem)}"
    for name, title, limits in _limits():
        text = f"listens after {measured.start:.1f} s; {title} waits {limits.start_seconds:g} s"
        if 0 < limits.start_seconds < measured.start:
            yield "fails", name, f"it {text}"
        elif 0 < limits.start_seconds < 2 * measured.start:
            yield "warns", name, f"here it {text}"


def _runs(facts: Facts) -> dict[str, Measured]:
    """Return what was measured, by the platform's name."""
    return {**({"fn": facts.measured} if facts.measured else {}), **facts.elsewhere}


def _cured(problem: str) -> str:
    """Add what to do about a tree that cannot be written."""
    cure = ": only /tmp can be written" if os.strerror(errno.EROFS) in problem else ""
    return f"{problem}{cure}"


def _sample(facts: Facts) -> Found:
    """Judge sample.json, and what each platform made of it where the function can answer it."""
    sample = facts.sample
    if sample is None:
        return
    if sample.problem:
        yield "fails", "all", f"{SAMPLE}: {sample.problem}"
        return
    for name, title, limits in _limits():
        if 0 < limits.payload_bytes < sample.size:
            text = f"{SAMPLE}: {sample.size} bytes; {title} takes {limits.payload_bytes}"
            yield "fails", name, f"{text} of parameters: send less, or an address"
    if facts.troubles:
        return  # which tell it for every platform
    for name, one in _runs(facts).items():
        if one.failure:
            yield "fails", name, f"{SAMPLE}: {_cured(one.failure)}"
        elif 2 * one.seconds > facts.target.timeout:
            text = f"{SAMPLE}: took {one.seconds:.1f} s of timeout: {facts.target.timeout:g}"
            yield "warns", name, text


def _memory(facts: Facts) -> Found:
    limit = facts.target.memory
    used = max((one.memory for one in _runs(facts).values()), default=0)
    cure = f"; write memory: {math.ceil(used * _ROOM / _MIB / _STEP) * _STEP}"
    if used > limit * _MIB:
        text = f"memory: {limit} in func.yaml, and it uses {used / _MIB:.0f} MiB"
        yield "fails", "all", f"{text}{cure}"
    elif used * _ROOM > limit * _MIB:
        text = f"memory: {limit} leaves little room over {used / _MIB:.0f} MiB"
        yield "warns", "all", f"{text}{cure}"
    for name, title, limits in _limits():
        if 0 < limits.memory < limit:
            yield "fails", name, f"memory: {limit} is over {title}'s usual limit of {limits.memory}"


def _threads(facts: Facts) -> Found:
    count = facts.measured.threads if facts.measured else 0
    for name, title, limits in _limits():
        most = limits.threads
        if 0 < most <= count:
            text = f"{count} threads; {title} allows {most} processes and threads in all"
            yield "fails", name, f"{text}: threads=1 in Function, OMP_NUM_THREADS: 1 in config"
        elif most and count > _MANY_THREADS:
            yield "warns", name, f"{count} threads of {most}; more cores may make more of them"


def _timeout(facts: Facts) -> Found:
    timeout = facts.target.timeout
    for name, title, limits in _limits():
        if 0 < limits.timeout_seconds < timeout:
            yield "fails", name, f"timeout: {timeout:g} is over {limits.timeout_seconds:g} s"
        if timeout < limits.shortest_timeout:
            text = f"timeout: {timeout:g} may leave a call no time at all"
            yield "warns", name, f"{text}: {title} cuts deadlines to whole seconds"


def _models(facts: Facts) -> Found:
    if facts.needs and (told := left_behind(facts.needs.models)):
        yield "fails", "all", told
    for name, size in facts.models.items():
        if not size:
            yield "fails", "all", f"{name} is not on this machine: gpfn models pull fetches it"


def _zip(facts: Facts) -> Found:
    size = facts.zip_bytes
    for name, _, limits in _limits():
        if 0 < limits.zip_bytes < size:
            most = f"{limits.zip_bytes / 1e6:.0f} MB"
            text = f"the folder has {size / 1e6:.0f} MB; a zip may have {most}: build an image"
            yield "fails", name, text


def _payload(facts: Facts) -> Found:
    asked = facts.target.config.get("GPFN_MAX_BODY_BYTES", "")
    images = any("labels" in name for name in facts.models)
    for name, _, limits in _limits():
        most = limits.payload_bytes
        bound = f"parameters end at {most / _MIB:g} MiB, a file of {most * 0.744 / 1e3:.0f} kB"
        if most and asked.isdecimal() and int(asked) > most:
            yield "warns", name, f"GPFN_MAX_BODY_BYTES {asked}: {bound} in base64"
        if most and images:
            yield "warns", name, f"takes images: {bound} in base64"


def _trouble(facts: Facts) -> Found:
    for trouble in facts.troubles:
        yield "fails" if trouble.certain else "warns", "all", f"{trouble.field}: {trouble.text}"


def _secrets(facts: Facts) -> Found:
    """Look for keys that everyone sees who has the files or the image; their text is not told."""
    folder = facts.target.folder
    for name in keys_in_config(facts.target.config):
        secret = name.lower().replace("_", "-")
        text = f"config.{name} in func.yaml looks like a key; write secret:{secret} there"
        yield "warns", "all", f"{text}, and mount the file (docs/secrets.md)"
    places = [*keys_in_code(facts.target.file)]
    for file in (DOCKERFILE, "requirements.txt", "sample.json"):
        places += keys_in_lines(folder / file)
    for place in places:
        text = f"{place}: looks like a key; read it with gpfn.secrets.read_secret(NAME)"
        yield "warns", "all", f"{text} (docs/secrets.md)"
    if inside := secrets_inside(folder):
        yield "fails", "all", inside


def _writes(facts: Facts) -> Found:
    for line, place in _written(facts):
        yield "fails", "fn", f"func.py:{line}: writes {place}; only /tmp can be written"


def _written(facts: Facts) -> Iterator[tuple[int, str]]:
    """Find calls of open() that write outside of /tmp, as far as literals say so."""
    try:
        tree = ast.parse(facts.target.file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # that it does not start is another rule's finding
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open":
            place, mode = _text(node, 0, "file"), _text(node, 1, "mode")
            if place and _WRITES & set(mode) and not place.startswith("/tmp/"):  # noqa: S108
                yield node.lineno, place


def _text(call: ast.Call, position: int, name: str) -> str:
    """Return an argument of a call that is a literal text; empty for any other."""
    by_name = [word.value for word in call.keywords if word.arg == name]
    found = [*call.args[position : position + 1], *by_name]
    value = found[0].value if found and isinstance(found[0], ast.Constant) else ""
    return value if isinstance(value, str) else ""


RULES: dict[str, Rule] = {
    "start": _start,
    "memory": _memory,
    "threads": _threads,
    "timeout": _timeout,
    "models": _models,
    "model": _trouble,
    "sample": _sample,
    **PACKAGE_RULES,
    "secrets": _secrets,
    "writes": _writes,
    "payload": _payload,
    "zip": _zip,
    **IMAGE_RULES,
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

"""Which requirements cannot be met together, told without a network.

Versions are compared as pip compares them, by the ``packaging`` library or pip's copy of it. What
packages need in turn is known of those that are installed here alone, and of their version alone:
what follows from that is certain only where the version is fixed. Everything else is left to pip,
and :attr:`Judged.unchecked` says so.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import combinations
from types import ModuleType
from typing import Any, NamedTuple

from gpfn import __version__
from gpfn.build.context import lock_text
from gpfn.build.dependencies import gpfn_needs
from gpfn.build.needs import Needs
from gpfn.build.stage.lock import constraints
from gpfn.build.stage.requirements import Line, Requirements, canonical
from gpfn.errors import SetupError

__all__ = ["Judged", "check_conflicts", "held_by_images", "judge", "packed_gpfn", "wanted_by_gpfn"]

_OPTIONS = re.compile(r"\s--?[a-z-]+[= ].*$")
_MOST = 400  # demands on one package: pairs of them are compared


class _Demand(NamedTuple):
    """What somebody asks of a package: ``spec`` is a SpecifierSet, ``text`` the requirement."""

    name: str
    spec: Any
    text: str
    who: str
    certain: bool = True


class Judged(NamedTuple):
    """Conflicts that are certain, those that a version of here has, and what nobody knows."""

    conflicts: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def check_conflicts(read: Requirements, ours: Iterable[tuple[str, str]]) -> None:
    """Raise SetupError for the first conflict that is certain; the arguments are those of judge."""
    for conflict in judge(read, ours).conflicts:
        raise SetupError(conflict, field="requirements.txt")


def judge(
    read: Requirements, ours: Iterable[tuple[str, str]], perhaps: Iterable[tuple[str, str]] = ()
) -> Judged:
    """Compare a function's requirements with each other, with ``ours`` and with what they need.

    ``ours`` are requirements and who has them, such as ``("numpy>=1.26", "gpfn")``, and
    ``perhaps`` those that not everyone has. Raises SetupError, with the file and the line, for a
    line that is no requirement.
    """
    rules = _rules()
    if rules is None:
        return Judged(unchecked=("conflicts: neither packaging nor pip is installed here",))
    own = list(_own(read, rules))
    demands = [*own, *(one for text, who in ours for one in _demand(text, who, rules))]
    for text, who in perhaps:
        demands += (one._replace(certain=False) for one in _demand(text, who, rules))
    unknown = sorted({one.name for one in own if not _version(one.name)})
    unchecked = [f"what {', '.join(unknown)} needs: not installed here"] if unknown else []
    demands += _needed(demands, rules)
    found: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted({one.name for one in demands}):
        of_it = [one for one in demands if one.name == name][:_MOST]
        clash = _clash(of_it)
        if clash:
            found[all(one.certain for one in clash)].append(_told(clash))
    return Judged(tuple(found[True]), tuple(found[False]), tuple(unchecked))


def wanted_by_gpfn(read: Requirements, needs: Needs) -> list[tuple[str, str]]:
    """Return what gpfn asks for to run a function, for judge()."""
    litert = "litert" in needs.runtimes
    ours = gpfn_needs(read, extras=needs.extras, litert=litert, imports=needs.packages)
    return [(text, "gpfn") for text in ours.values()]


def packed_gpfn() -> tuple[str, str]:
    """Return the version of gpfn that a zip or an image of ours has, for judge()."""
    return f"gpfn=={__version__}", "the one that is here"


def held_by_images(read: Requirements) -> Iterator[tuple[str, str]]:
    """Yield the versions that gpfn's images hold those packages to which no line pins."""
    free = read.names - read.pinned
    for line in constraints(lock_text("all.lock")).splitlines():
        pin = line.partition(";")[0].strip()
        if canonical(pin.partition("==")[0]) in free:
            yield pin, "gpfn's images; a line with == has its way"


def _rules() -> ModuleType | None:
    """Return packaging's requirements, wherever they are."""
    from importlib import import_module

    for name in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            return import_module(name)
        except ImportError:
            continue  # the next place may have it
    return None


def _own(read: Requirements, rules: ModuleType) -> Iterator[_Demand]:
    for path, file in read.files.items():
        for line in file.lines:
            yield from _of_line(line, f"{path}:{line.number}", rules)


def _of_line(line: Line, place: str, rules: ModuleType) -> Iterator[_Demand]:
    text = _OPTIONS.sub("", line.text)
    if not text or text.startswith("-") or line.local or "://" in text.partition("@")[0]:
        return
    try:
        yield from _demand(text, place, rules)
    except rules.InvalidRequirement as error:
        if "${" in text:
            return  # pip puts a variable's value there
        told = str(error).splitlines()[0]
        raise SetupError(f"is no requirement: {text[:60]!r}: {told}", field=place) from None


def _demand(text: str, who: str, rules: ModuleType) -> Iterator[_Demand]:
    wanted = rules.Requirement(text)
    if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
        short = f"{canonical(wanted.name)}{wanted.specifier}"
        yield _Demand(canonical(wanted.name), wanted.specifier, short, who)


def _needed(demands: Sequence[_Demand], rules: ModuleType) -> Iterator[_Demand]:
    """Yield what packages need in turn, of those installed here that may be the ones taken."""
    waiting, seen = list(demands), {"gpfn"}
    while waiting:
        name = waiting.pop().name
        version = _version(name)
        of_it = [one.spec for one in demands if one.name == name]
        taken = version and all(spec.contains(version, prereleases=True) for spec in of_it)
        if name in seen or not taken:
            continue
        seen.add(name)
        fixed = any(str(spec) == f"=={version}" for spec in of_it)
        for text in metadata.requires(name) or ():
            for one in _demand(text, f"{name} {version}", rules):
                waiting.append(one)
                yield one._replace(certain=fixed)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _clash(demands: Sequence[_Demand]) -> tuple[_Demand, ...]:
    """Return the fewest demands that no version meets; a pair where there is one."""
    certain_first = sorted(demands, key=lambda one: not one.certain)
    for pair in combinations(certain_first, 2):
        if not _meet(pair):
            return pair
    return () if _meet(demands) else tuple(demands)


def _meet(demands: Sequence[_Demand]) -> bool:
    """Say whether any version meets them all.

    Specifiers are intervals, so it is enough to try their ends and what lies just beside them.
    """
    specs = [spec for one in demands for spec in one.spec]
    if not specs or any(spec.operator == "===" for spec in specs):
        return True
    tried = {text for spec in specs for text in _beside(spec.version)}
    return any(all(one.spec.contains(text, prereleases=True) for one in demands) for text in tried)


def _beside(text: str) -> Iterator[str]:
    """Yield a version, one just below, one just above, and the next of its last part."""
    plain = text.removesuffix(".*")
    yield plain
    epoch, _, rest = plain.rpartition("!")
    head = f"{epoch}!" if epoch else ""
    found = re.match(r"v?(\d+(?:\.\d+)*)", rest)
    if found is None:
        return
    numbers = [int(part) for part in found[1].split(".")]
    yield head + ".".join(map(str, [*numbers, *[0] * (6 - len(numbers)), 1]))
    yield head + ".".join(map(str, [*numbers[:-1], numbers[-1] + 1]))
    while numbers and not numbers[-1]:
        numbers.pop()
    if numbers:
        yield head + ".".join(map(str, [*numbers[:-1], numbers[-1] - 1, 999_999]))


def _told(clash: Sequence[_Demand]) -> str:
    return " conflicts with ".join(f"{one.text} ({one.who})" for one in clash)

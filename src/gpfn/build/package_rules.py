"""What of a function's packages will fail, with the line that requirements.txt has to have.

A stock image installs what requirements.txt says, and nothing more; ``gpfn build`` and ``gpfn
package`` add what the code and the models need, so that there it is a warning.
"""

from collections.abc import Iterator, Mapping

from gpfn.build.facts import Facts, Found, Rule
from gpfn.build.needs import Needs, image_packages, image_parts, missing_imports
from gpfn.build.stage.lock import EXTRAS
from gpfn.build.stage.requirements import Requirements

__all__ = ["PACKAGE_RULES"]


def _packages(facts: Facts) -> Found:
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


def _conflicts(facts: Facts) -> Found:
    """Compare what is asked for with what gpfn asks for, and with what its images hold."""
    judged = facts.judged
    if judged is None:
        return
    for conflict in judged.conflicts:
        yield "fails", "all", f"requirements.txt: {conflict}"
    for doubt in judged.doubts:
        yield "warns", "all", f"requirements.txt: {doubt}, as far as the versions here say"


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


def _requirements(facts: Facts) -> Found:
    names = facts.requirements.names
    if "uvloop" in names:
        yield "fails", "fn", "requirements.txt: with uvloop the stock fdk dies at its start"
    if names & {"tensorflow", "tensorflow-cpu"}:
        text = "requirements.txt: TensorFlow has 1.3 GB; gpfn build --runtime tensorflow has 0.7"
        yield "warns", "all", text


PACKAGE_RULES: Mapping[str, Rule] = {
    "packages": _packages,
    "conflicts": _conflicts,
    "requirements": _requirements,
}
"""These rules by their names."""

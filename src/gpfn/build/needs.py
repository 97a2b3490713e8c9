"""What a function needs to run: the runtimes of its models, and the packages that it imports.

Its file and the modules beside it are read, not executed; its models are what it declares,
or the model files beside it.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from gpfn.build.dependencies import closure
from gpfn.build.imports import imported_names
from gpfn.build.model_files import backends_named, config_of
from gpfn.build.models import ask_function
from gpfn.build.stage.lock import CORE, EXTRAS, RUNTIMES
from gpfn.build.stage.requirements import Requirements, canonical
from gpfn.errors import SetupError
from gpfn.models.backends import Backend, backend_by_suffix, runtimes

__all__ = [
    "Needs",
    "check_imports",
    "image_packages",
    "image_parts",
    "missing_imports",
    "needs_of",
    "needs_of_model",
]

_SUGGESTED = {
    "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "jwt": "pyjwt",
    "mpl_toolkits": "matplotlib",
    "pkg_resources": "setuptools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow-cpu",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Packages that are not called what is imported of them."""

_NEEDING = {
    "gpfn.classifier": "images",
    "gpfn.classy.prepare": "images",
    "gpfn.events.protobuf_format": "protobuf",
    "gpfn.events.sdk": "cloudevents",
    "gpfn.images": "images",
}
"""Modules of gpfn that need an extra of it."""


class Needs(NamedTuple):
    """What a function's file and its neighbours import, and what its models need.

    ``modules`` has top-level names with the place that imports them, ``backends`` the rows
    of the table with the model that needs them, ``extras`` are of gpfn, and ``models`` the URIs
    that the function declares. ``problem`` is what its file raises here, but for an ImportError.
    """

    modules: dict[str, str]
    backends: dict[Backend, str]
    extras: frozenset[str]
    models: tuple[str, ...] = ()
    problem: str = ""

    @property
    def runtimes(self) -> dict[str, str]:
        """What computes, such as ``onnx``, with the model that needs it; none for Python."""
        return {row.runtime: model for row, model in self.backends.items() if row.packages}

    @property
    def packages(self) -> frozenset[str]:
        """What the imported modules are called as packages."""
        return frozenset(map(_package_of, self.modules))


def needs_of(file: Path) -> Needs:
    """Return what the function in ``file`` needs."""
    config = config_of(file.parent)
    asked = ask_function(file, {**config, **os.environ})
    models = asked.models
    modules = [path for path in map(_module_path, models) if path]
    backends = backends_named(file, models, modules, config)
    extras = {row.extra for row in backends if row.extra}
    found: dict[str, str] = {}
    for name, place in imported_names(file, modules):
        extras |= {
            extra for module, extra in _NEEDING.items() if f"{name}.".startswith(f"{module}.")
        }
        found.setdefault(name.partition(".")[0], place)
    found.pop("gpfn", None)
    return Needs(found, backends, frozenset(extras), models, asked.problem)


def needs_of_model(name: str) -> Needs:
    """Return what a server of one model file needs."""
    row = backend_by_suffix(name)
    return Needs({}, {} if row is None else {row: name}, frozenset())


def image_parts(
    needs: Needs, read: Requirements, runtime: str, extras: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the runtime and the extras of an image that has what the function needs.

    ``runtime`` is what was asked for, empty when nothing was. Raises SetupError, with the
    option to add, when that is not what a model needs.
    """
    asked = {*extras, *read.extras, *(row.runtime for row in needs.backends
             if read.names.intersection(row.packages))}  # fmt: skip
    wanted = [name for name in runtimes() if name in needs.runtimes and name not in asked]
    if runtime and (others := [name for name in wanted if name != runtime]):
        more = f"--extra {others[0]}" if others[0] in EXTRAS else f"--runtime {others[0]}"
        text = (
            f"{needs.runtimes[others[0]]} needs {others[0]}, this image has {runtime}: add {more}"
        )
        raise SetupError(text, field="--runtime")
    chosen = runtime or next(iter(wanted), next(iter(runtimes())))
    derived = needs.extras - {chosen, *extras, *read.extras}
    return chosen, (*extras, *sorted(derived.intersection(EXTRAS)))


def image_packages(runtime: str, extras: Collection[str]) -> frozenset[str]:
    """Return the packages that an image of ours has, by its runtime and its extras."""
    found = {*CORE, *RUNTIMES[runtime]}
    return frozenset(found.union(*(EXTRAS.get(extra, ()) for extra in extras)))


def _module_path(uri: str) -> str:
    """Return the module of a model that is a Python function, as an import names it."""
    place, colon, attribute = uri.rpartition(":")
    if not colon or not attribute.replace(".", "").isidentifier() or "://" in uri:
        return ""
    return place.removesuffix(".py").replace("/", ".")


def missing_imports(
    needs: Needs, read: Requirements, provided: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield module, place and package of each import that nothing installs.

    ``provided`` are packages that are there anyway. A requirement that is not installed
    here may bring any module, unless it is called like one that is imported: as long as
    there is such a one, nothing is missing for sure.
    """
    own = read.names - ({"gpfn"} if "fdk" in needs.modules else {"gpfn", "fdk"})
    there = closure({*provided, *own})
    missing = {}
    explained = set(provided)
    for module, place in needs.modules.items():
        names = _bringing(module, there)
        explained |= names
        if not names:
            missing[module] = place
    if any((not line.name and not line.text.startswith("-")) or line.local for line in read.lines):
        return
    if any(name not in explained and not _installed(name) for name in own):
        return
    for module, place in missing.items():
        yield module, place, _package_of(module)


def check_imports(needs: Needs, read: Requirements, provided: frozenset[str]) -> None:
    """Raise SetupError, with the line to add, when the function imports what nothing installs."""
    for module, place, package in missing_imports(needs, read, provided):
        raise SetupError(
            f"imports {module}, which nothing installs; add this line to requirements.txt: "
            f"{package}",
            field=place,
        )


def _bringing(module: str, packages: Collection[str]) -> set[str]:
    """Return those of the packages that a module is from."""
    plain = canonical(module)
    names = {plain, f"python-{plain}", f"py{plain}", _SUGGESTED.get(module, plain)}
    found = {name for name in packages if name in names or name.startswith(f"{plain}-")}
    return found or {name for name in packages if name in _distributions(module)}


def _package_of(module: str) -> str:
    """Return what to install for a module."""
    plain = canonical(module)
    if module in _SUGGESTED or _installed(plain):
        return _SUGGESTED.get(module, plain)
    return next(iter(_distributions(module)), plain)


def _distributions(module: str) -> list[str]:
    return [canonical(name) for name in _installed_modules().get(module, ())]


@cache
def _installed_modules() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()  # reads what each installed package holds


def _installed(name: str) -> bool:
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return False

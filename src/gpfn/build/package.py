"""The zip of an action for OpenWhisk's own Python runtime.

Its entry is made from the function's file: the runtime calls ``main`` of ``__main__.py``.
The function, its models and gpfn lie beside it. What else is needed lies in ``packages/``,
or is named in ``requirements.txt``, from which the runtime installs it at each cold start,
within the action's time limit. The zip depends on its contents only: its files are sorted
and have one date.
"""

import os
import shlex
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gpfn
from gpfn.build.bake import check_models
from gpfn.build.conflicts import check_conflicts, packed_gpfn, wanted_by_gpfn
from gpfn.build.dependencies import gpfn_needs, install, requirement_files, requirements_of
from gpfn.build.entry import check_main, entry_of
from gpfn.build.keys import refuse_secrets
from gpfn.build.needs import Needs, check_imports, needs_of
from gpfn.errors import SetupError, TooLarge

if TYPE_CHECKING:
    from gpfn.models.download import Progress

__all__ = [
    "MAX_ZIP",
    "NOT_IN_ACTIONS",
    "PYTHONS",
    "Content",
    "Packed",
    "gpfn_files",
    "model_files",
    "own_files",
    "pack",
    "write_zip",
]

MAX_ZIP = 36 << 20
"""48 MiB of code in base64 is what OpenWhisk takes (Exec.scala:95)."""

PYTHONS = ("3.11", "3.12")
"""The stock images that gpfn runs on."""

Content = bytes | Path
"""A file's bytes, or where to read them."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_PROGRAM = 0o100755 << 16
_NOT_OWN = frozenset((
    "Dockerfile", "README.md", "__main__.py", "func.json", "func.yaml", "func.yml",
    "requirements.txt", "sample.json", "test_func.py",
))  # fmt: skip
"""Files beside a function that are about it, and not for it."""

NOT_IN_ACTIONS = frozenset(
    (
        "bench",
        "bridge",
        "build",
        "certify",
        "cli",
        "coldstart",
        "convert",
        "data",
        "hosts",
        "local",
        "pipelines",
        "retraining",
        "scaffold",
        "serving",
    )
)
"""Parts of gpfn that no function imports, as the import rule has it: all floors above it."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A zip that was written; sizes are bytes, ``parts`` what takes them up before packing.

    ``runtimes`` are what computes in it, with the model that needs it. ``problem`` is what the
    function's file raises here, which may have what it needs where it will run.
    """

    path: Path
    size: int
    files: int
    parts: Mapping[str, int]
    runtimes: Mapping[str, str]
    problem: str = ""


def pack(
    file: Path,
    target: Path,
    *,
    name: str = "main",
    python: str = "",
    max_bytes: int = MAX_ZIP,
    progress: "Progress | None" = None,
) -> Packed:
    """Write the zip of the function in ``file``.

    With a version in ``python`` the packages that it needs go in, for that Python.

    Raises SetupError for a function without ``name``, DownloadFailed for a model or package
    that cannot be had, TooLarge with what to do instead; nothing is left behind then.
    """
    check_main(file, name)
    refuse_secrets(file.parent)
    files = {**gpfn_files(), **own_files(file.parent), **model_files(file, progress)}
    files["__main__.py"] = entry_of(file, name)
    needs = needs_of(file)
    check_models(needs.models, file.parent)
    wanted = _requirements(file, needs, files)
    _check_names(files)
    with tempfile.TemporaryDirectory(prefix="gpfn-package-") as folder:
        if python:
            install(wanted, file.parent, Path(folder), python)
            files = {path: files[path] for path in files if path not in wanted}
            files |= _packages(Path(folder))
        else:
            files |= wanted
        size, parts = _written(files, target, file, max_bytes)
    return Packed(target, size, len(files), parts, needs.runtimes, needs.problem)


def _requirements(file: Path, needs: Needs, files: dict[str, Content]) -> dict[str, bytes]:
    """Return the requirements files of the zip, and add to ``files`` what their lines lead to."""
    folder = file.parent
    read = requirements_of(folder)
    litert = "litert" in needs.runtimes
    ours = gpfn_needs(read, extras=needs.extras, litert=litert, imports=needs.packages)
    check_imports(needs, read, frozenset(ours))
    check_conflicts(read, [packed_gpfn(), *wanted_by_gpfn(read, needs)])
    for path in read.local:
        found = folder / path
        inner = found.rglob("*") if found.is_dir() else [found]
        hidden = [one for one in inner if one.is_file() and "__pycache__" not in one.parts]
        for one in hidden if found.resolve() != folder.resolve() else []:
            files.setdefault(one.resolve().relative_to(folder.resolve()).as_posix(), one)
    return requirement_files(read, extras=needs.extras, litert=litert, imports=needs.packages)


def _check_names(files: Iterable[str]) -> None:
    """Refuse names that not every program which unpacks a zip takes for the same file."""
    for name in files:
        if not name.isprintable() or "\\" in name:
            raise SetupError(
                "a file's name has characters that a zip cannot hold", field=repr(name)
            )


def _packages(folder: Path) -> dict[str, Content]:
    return {
        f"packages/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _written(
    files: Mapping[str, Content], target: Path, file: Path, max_bytes: int
) -> tuple[int, dict[str, int]]:
    """Write the zip; return its bytes and those of its parts before packing."""
    parts = _parts(files)
    with tempfile.TemporaryDirectory(prefix="gpfn-package-", dir=_existing(target)) as folder:
        draft = Path(folder) / target.name
        try:
            size = write_zip(draft, files)
        except OSError as error:
            raise SetupError(
                f"cannot be written: {error.strerror or error}", field=str(target)
            ) from None
        if size > max_bytes:
            largest = ", ".join(f"{part} {_mb(parts[part])}" for part in list(parts)[:3])
            raise TooLarge(
                f"{target.name} would have {_mb(size)}; OpenWhisk takes {_mb(max_bytes)} of zip. "
                f"Largest before packing: {largest}. Use an image instead: "
                f"gpfn build {shlex.quote(file.parent.name)} --platform openwhisk"
            )
        draft.replace(target)
    return size, parts


def _existing(target: Path) -> Path:
    if not target.parent.is_dir():
        raise SetupError("no such folder", field=str(target.parent))
    return target.parent


def _parts(files: Mapping[str, Content]) -> dict[str, int]:
    """Return the sizes of the top-level parts, a package for itself, the largest first."""
    sizes: dict[str, int] = {}
    for name, content in files.items():
        steps = name.split("/")
        part = "/".join(steps[:2]) if steps[0] == "packages" else steps[0]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        sizes[part] = sizes.get(part, 0) + size
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


def own_files(folder: Path) -> dict[str, Content]:
    """Return the files of a function's folder; hidden ones and caches stay out."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in _files_below(folder)
        if path.parent != folder or path.name not in _NOT_OWN
    }


def gpfn_files() -> dict[str, Content]:
    """Return this package as far as a function can import it, with the models' catalogue."""
    from gpfn.models.catalogue import bundled_folder

    package = Path(gpfn.__file__).parent
    files: dict[str, Content] = {
        f"gpfn/{path.relative_to(package).as_posix()}": path
        for path in _files_below(package)
        if path.suffix == ".py" and path.relative_to(package).parts[0] not in NOT_IN_ACTIONS
    }
    files["gpfn/models/bundled/catalogue.toml"] = bundled_folder() / "catalogue.toml"
    return files


def model_files(file: Path, progress: "Progress | None") -> dict[str, Content]:
    """Return the catalogue's files that the function in ``file`` may use, beside it.

    Nothing for a function that cannot be loaded here. Raises DownloadFailed.
    """
    from gpfn.build.models import fetch_models

    return {path.name: path for path in fetch_models(file, progress)}


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield path


def write_zip(target: Path, files: Mapping[str, Content]) -> int:
    """Write ``files`` by their names in the zip; returns its size in bytes.

    The file appears when it is complete. Raises OSError.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _EARLIEST)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = _mode(files[name])
                archive.writestr(info, _bytes(files[name]))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _mode(content: Content) -> int:
    is_program = isinstance(content, Path) and os.access(content, os.X_OK)
    return _PROGRAM if is_program else _MODE

"""Asking a function for its models in a process of its own.

User code is not loaded into the command that builds: it may print, hang on to modules, or
need what is only in the image.

Putting a function's models beside it: ``python -m gpfn.build.bake FOLDER``.

Runs where the image is built, so that nothing is downloaded when it starts; loading the
function also tells at once when a package that it imports is not in the image.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.errors import DownloadFailed, GpfnError, ModelUnreadable, SetupError

if TYPE_CHECKING:
    from gpfn.models.description import ModelFile
    from gpfn.models.download import Progress

__all__ = ["asked_files", "asked_models", "bake", "main", "models_of", "needed_files"]

_ASK = """\
import json, sys
from pathlib import Path
from gpfn.build.bake import needed_files
from gpfn.errors import SetupError
try:
    files = [(f.name, f.sha256, f.size, f.url) for f in needed_files(Path(sys.argv[1]))]
except SetupError as error:
    files = []
    print(error, file=sys.stderr)
print("\\x1e" + json.dumps(files))
"""
_SECONDS = 60


def models_of(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Return the files on this machine that the function in ``folder`` needs, fetched if need be.

    Nothing for a function that cannot be loaded here. Raises DownloadFailed when a file
    cannot be had or its hash is wrong.
    """
    from gpfn.models.files import check_file
    from gpfn.models.store import obtain

    found = []
    for file in asked_files(folder / "func.py"):
        path = obtain(file, progress=progress)
        wrong = check_file(path, sha256=file.sha256, size=file.size) if file.url else ""
        if wrong:
            raise DownloadFailed(f"{path} {wrong}; remove it, and it is fetched again")
        found.append(path)
    return list(dict.fromkeys(found))


def asked_files(file: Path) -> list[ModelFile]:
    """Return the catalogue's files that a function may use; none when it cannot be loaded."""
    from gpfn.models.description import ModelFile

    return list(dict.fromkeys(ModelFile(*entry) for entry in _asked(file)))


def asked_models(file: Path) -> list[str]:
    """Return the names of the catalogue's files that a function may use."""
    return [found.name for found in asked_files(file)]


def _asked(file: Path) -> list[tuple[str, str, int, str]]:
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(file)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    answer = done.stdout.rpartition("\x1e")[2]
    return [tuple(entry) for entry in json.loads(answer)] if done.returncode == 0 else []


_CATALOGUE = "catalogue:"


def needed_files(file: Path) -> Iterator[ModelFile]:
    """Yield the catalogue's files that the function in ``file`` may use: models and labels.

    Raises SetupError when the function cannot be loaded.
    """
    from gpfn.models.catalogue import default_catalogue
    from gpfn.platforms.load import load_function

    for uri in load_function(str(file)).models:
        if uri.startswith(_CATALOGUE):
            yield from default_catalogue().get(uri.removeprefix(_CATALOGUE)).files


def bake(folder: Path) -> list[Path]:
    """Copy the models that the function in ``folder`` needs into it, hashes checked.

    Returns all of them. Raises SetupError or DownloadFailed; a function whose only model
    is named by the environment is left to it.
    """
    from gpfn.models.files import check_file
    from gpfn.models.store import obtain

    found = []
    for wanted in dict.fromkeys(needed_files(folder / "func.py")):
        target = folder / wanted.name
        if not target.is_file():
            shutil.copyfile(obtain(wanted), target)
        wrong = check_file(target, sha256=wanted.sha256, size=wanted.size) if wanted.url else ""
        if wrong:
            target.unlink()
            raise DownloadFailed(f"{wanted.name} {wrong}")
        found.append(target)
    _check_found(folder)
    return found


def _check_found(folder: Path) -> None:
    from gpfn.function.opening import find_model
    from gpfn.platforms.load import load_function

    function = load_function(str(folder / "func.py"))
    fixed = [uri for uri in function.models if not uri.startswith("env:")]
    if fixed:
        try:
            find_model(fixed, str(folder))
        except ModelUnreadable as error:
            raise SetupError(error.detail, field="model") from error


def _let_everybody_read(folder: Path) -> None:
    """Platforms choose the user, and the files may be their owner's alone."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def main() -> int:
    """Bake the folder that the command line names; returns the exit code."""
    folder = Path(sys.argv[1])
    try:
        for path in bake(folder):
            print(f"{path.name}: {path.stat().st_size} bytes")
        _let_everybody_read(folder)
    except GpfnError as error:
        print(f"gpfn: {' '.join(str(error).split())}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

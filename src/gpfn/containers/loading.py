"""Asking a function for its models in a process of its own.

User code is not loaded into the command that builds: it may print, hang on to modules, or
need what is only in the image.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.errors import DownloadFailed

if TYPE_CHECKING:
    from gpfn.models.catalogue import ModelFile
    from gpfn.models.download import Progress

__all__ = ["asked_files", "asked_models", "models_of"]

_ASK = """\
import json, sys
from pathlib import Path
from gpfn.containers.bake import needed_files
from gpfn.errors import SetupError
try:
    files = [(f.name, f.sha256, f.size, f.url) for f in needed_files(Path(sys.argv[1]))]
except SetupError as error:
    files = []
    print(error, file=sys.stderr)
print("\\x1e" + json.dumps(files))
"""
_SECONDS = 60


def models_of(folder: Path, progress: "Progress | None" = None) -> list[Path]:
    """Return the files on this machine that the function in ``folder`` needs, fetched if need be.

    Nothing for a function that cannot be loaded here. Raises DownloadFailed when a file
    cannot be had or its hash is wrong.
    """
    from gpfn.models.atomic import check_file
    from gpfn.models.store import obtain

    found = []
    for file in asked_files(folder / "func.py"):
        path = obtain(file, progress=progress)
        wrong = check_file(path, sha256=file.sha256, size=file.size) if file.url else ""
        if wrong:
            raise DownloadFailed(f"{path} {wrong}; remove it, and it is fetched again")
        found.append(path)
    return list(dict.fromkeys(found))


def asked_files(file: Path) -> "list[ModelFile]":
    """Return the catalogue's files that a function may use; none when it cannot be loaded."""
    from gpfn.models.catalogue import ModelFile

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

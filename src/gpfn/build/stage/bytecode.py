"""Compiling what the image runs, so that nothing is compiled when it starts.

The files are checked by nobody (PEP 552's unchecked hashes), and so do not depend on
times. The public slim images of Python have lost the standard library's own bytecode:
there, all of it goes into a cache folder that the launcher names.
"""

import compileall
import os
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

from .layout import HOME

__all__ = ["CACHE", "compile_all", "needs_cache"]

CACHE = HOME / "bytecode"
_NOT_AT_RUN_TIME = (
    "config-",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "lib-dynload",
    "pydoc_data",
    "site-packages",
    "dist-packages",
    "test",
    "tkinter",
    "turtledemo",
    "venv",
)


def needs_cache() -> bool:
    """Say whether the base image has no bytecode of the standard library.

    No step before has written any: PYTHONDONTWRITEBYTECODE is set for the whole stage.
    """
    return not list((_library() / "__pycache__").glob("argparse.*.pyc"))


def compile_all(*folders: Path) -> None:
    """Compile the folders, and the standard library when the base image has not."""
    if needs_cache():
        sys.pycache_prefix = str(CACHE)
        for path in sorted(_library().iterdir()):
            if not path.name.startswith(_NOT_AT_RUN_TIME):
                _compile(path)
    for folder in folders:
        _compile(folder)


def _compile(path: Path) -> None:
    # what does not compile is a template or is for another Python: it is left as it is
    how = {"quiet": 2, "force": True, "invalidation_mode": PycInvalidationMode.UNCHECKED_HASH}
    if path.is_dir():
        compileall.compile_dir(os.fspath(path), maxlevels=30, **how)  # type: ignore[arg-type]
    elif path.suffix == ".py":
        compileall.compile_file(os.fspath(path), **how)  # type: ignore[arg-type]


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))

"""A runner within what its platform allows: ``python -m gpfn.build.confined FOLDER MEMORY …``.

Behind the two stand the words of ``gpfn``. With a FOLDER the files of the machine are read-only,
but for /tmp; the function's own folder is, wherever it lies. What Python itself opens, makes,
renames or removes is refused as the platform would; libraries in C are not watched. MEMORY (MB)
keeps a function that asks for far more from taking this machine's: what it uses is measured by
who has started it, for a platform counts pages, not addresses.
"""

import errno
import os
import resource
import runpy
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["main", "protect"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING: dict[str, tuple[tuple[int, int], ...]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, 9),),
    "os.utime": ((0, 3),),
}
"""Audit events of calls that change files: where their paths are among their arguments, each
with where the folder's descriptor is that it is seen from."""
_SPARE = 2 << 30  # bytes
"""Beyond four times a function's memory: threads and libraries reserve what they never use."""


def protect(folder: str) -> None:
    """Refuse with EROFS, from now on, what would write to any other place than /tmp."""
    own = os.path.realpath(folder)
    places = ("/tmp", "/dev", "/proc/self", tempfile.gettempdir())  # noqa: S108
    writable = tuple({os.path.realpath(place) for place in places})

    def judge(event: str, arguments: tuple[object, ...]) -> None:
        for path in _written(event, arguments):
            place = os.path.realpath(path)
            inside = place == own or place.startswith(f"{own}/")
            if inside or not any(place == top or place.startswith(f"{top}/") for top in writable):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    sys.addaudithook(judge)


def _written(event: str, arguments: tuple[object, ...]) -> Iterator[str]:
    """Yield the paths that an audited call is to change."""
    if event == "open":
        flags = arguments[2]
        if isinstance(flags, int) and flags & _WRITING:
            yield from _path(arguments[0], -1)
        return
    for path, folder in _CHANGING.get(event, ()):
        yield from _path(arguments[path], arguments[folder] if folder < len(arguments) else -1)


def _path(path: object, folder: object) -> Iterator[str]:
    if isinstance(path, str | bytes):  # else it is a file that is open already
        seen_from = f"/proc/self/fd/{folder}" if isinstance(folder, int) and folder >= 0 else ""
        yield os.path.join(os.path.realpath(seen_from) if seen_from else "", os.fsdecode(path))


def main() -> None:
    """Confine this process as the command line says, and run ``gpfn`` with the rest of it."""
    folder, memory, *words = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = 4 * (int(memory) << 20) + _SPARE
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    if folder:
        sys.dont_write_bytecode = True  # as in an image
        protect(folder)
    sys.argv[1:] = words
    runpy.run_module("gpfn", run_name="__main__")


if __name__ == "__main__":
    main()

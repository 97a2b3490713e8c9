"""What a caller may see of an error's text: no folder of this machine.

Native libraries put the paths of files into their messages, the server's models and their own
sources, and errors of setting up name files on purpose. Who runs a function reads them whole in
the log; a caller gets the last part, which says what it is about and not where it lies.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import TypeVar

    from gpfn.errors import GpfnError

    _E = TypeVar("_E", bound=GpfnError)

__all__ = ["public_error", "public_text"]

_PATHS = (
    r"(?<![\w.~-])(?:(?!file:)[A-Za-z][\w+.-]{0,15}://\S+"  # an address
    r"|(?:file://)?(/[^\s/'\"<>|:;,()\[\]{}]+)+/?)"
)
_SOURCES = (".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".py", ".so")


def public_text(text: str) -> str:
    """Return a text as a caller may see it: paths of this machine lose their folders.

    An absolute path is one of this machine when its first folder is there, or when it ends as
    a source file, such as native libraries name in their messages. Addresses stay as they are.

    >>> public_text("cannot open /usr/lib/m.onnx: see http://host/usr/m, or 'a/usr/b'")
    "cannot open m.onnx: see http://host/usr/m, or 'a/usr/b'"
    """
    if "/" not in text:
        return text
    import re  # a cold start has no error to show

    return re.sub(_PATHS, _shortened, text)


def public_error(error: "_E") -> "_E":
    """Return the error as a caller may see it: itself, or a copy with :func:`public_text`."""
    detail = public_text(error.detail)
    if detail == error.detail:
        return error
    from copy import copy

    told = copy(error)
    told.detail = detail
    return told


def _shortened(match: "re.Match[str]") -> str:
    from os.path import exists

    if not match[1]:
        return match[0]
    _, first, *rest = match[0].removeprefix("file://").rstrip("/").split("/")
    last = rest[-1] if rest else first
    return last if exists(f"/{first}") or last.endswith(_SOURCES) else match[0]

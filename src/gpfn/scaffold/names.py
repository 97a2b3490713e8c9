"""What a function may be called: its folder, its name in Fn, its image and its logs.

Fn takes lower case alone (fnproject/cli, commands/init.go, ValidateFuncName), an image's
name is ``[a-z0-9]`` with single separators, and Knative's ends at 63 characters. One name
has to do for all of them.
"""

import re

from gpfn.errors import SetupError

__all__ = ["check_name"]

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MOST = 63
_SHOWN = 40

_REASONS: tuple[tuple[str, str], ...] = (
    (r"\A\s*\Z", "a function needs a name"),
    (r"[/\\]", "a name, not a path; change into the folder that it is to be in"),
    (r"\A\.+\Z|\.\.", "a name, not a path; give a new folder's name"),
    (r"[^ -~]", "letters a to z and digits only, and no characters that cannot be seen"),
    (r"\s", "a name has no spaces; put - in their place"),
    (r"[A-Z]", "Fn's names are lower case"),
    (r"[^a-z0-9._-]", "letters a to z, digits and . _ - only"),
    (r"", "a letter or digit at both ends, and single . _ - between"),
)
"""What is wrong with a name, and what to do; the first that fits is told."""


def check_name(name: str, field: str = "NAME") -> None:
    """Raise SetupError, naming ``field`` and the reason, for what cannot be a function's name."""
    if len(name) > _MOST:
        told = f"at most {_MOST} characters, and this has {len(name)}"
    elif _NAME.fullmatch(name):
        return
    else:
        told = next(reason for pattern, reason in _REASONS if re.search(pattern, name))
    if re.search("[A-Z]", name) and _NAME.fullmatch(name.lower()) and len(name) <= _MOST:
        told += f": {name.lower()}"
    raise SetupError(f"{told}; got {name[:_SHOWN]!r}", field=field)

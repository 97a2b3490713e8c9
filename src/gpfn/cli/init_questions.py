"""What ``gpfn init`` asks at a terminal; Enter alone is a sensible answer to each question."""

import os
import sys
from collections.abc import Callable, Sequence

from gpfn.errors import SetupError

__all__ = ["ask"]

_LONGEST_LIST = 8


def ask(name: str, model: str, kind: str, platforms: str) -> tuple[str, str, str, str]:
    """Return name, model, kind and platforms; what is given already is not asked for.

    A wrong answer is asked for again. Raises SetupError when the terminal is closed.
    """
    from gpfn.scaffold.contents import PLATFORMS
    from gpfn.scaffold.kinds import KINDS
    from gpfn.scaffold.names import check_name

    found = _models_here()
    if not model and found:
        print(f"models here: {', '.join(found[:_LONGEST_LIST])}", file=sys.stderr)
    model = model or _question("model (file, folder, or FILE.py:FUNCTION)", found, _is_there)
    name = name or _question("name of the function", [_name_from(model)], check_name)
    kinds = ["what fits the model", *KINDS]
    kind = kind or _question(f"kind ({', '.join(KINDS)})", kinds, _one_of(kinds))
    wanted = _question("platforms, with commas", [platforms], _some_of(PLATFORMS))
    return name, model, "" if kind == kinds[0] else kind, wanted


def _question(text: str, usual: Sequence[str], check: Callable[[str], object]) -> str:
    """Ask until the answer is right; an empty one is the first of the usual ones."""
    default = usual[0] if usual else ""
    while True:
        print(f"{text} [{default}]: " if default else f"{text}: ", end="", file=sys.stderr)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise SetupError("the terminal was closed; nothing was written", field="init")
        answer = line.strip() or default
        try:
            check(answer)
        except SetupError as error:
            print(f"  {error.detail}", file=sys.stderr)
            continue
        return answer


def _models_here() -> list[str]:
    """Return what in this folder looks like a model, sorted."""
    from gpfn.models.backends import backend_by_folder, backend_by_suffix

    names = sorted(name for name in os.listdir(".") if not name.startswith("."))
    return [
        name
        for name in names
        if (backend_by_folder(name) if os.path.isdir(name) else backend_by_suffix(name))
    ]


def _name_from(model: str) -> str:
    """Return a name that can be a function's, made from the model's."""
    stem = os.path.splitext(os.path.basename(model.rstrip("/").partition(":")[0]))[0].lower()
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem)
    name = "-".join(part for part in kept.split("-") if part) or "function"
    return f"{name}-function" if os.path.lexists(name) else name


def _is_there(model: str) -> None:
    from gpfn.models.open import backend_of

    if not model:
        raise SetupError("give the model's file")
    backend_of(model.rstrip("/"))


def _one_of(known: Sequence[str]) -> Callable[[str], None]:
    def check(answer: str) -> None:
        if answer not in known:
            raise SetupError(f"expected one of {', '.join(known)}")

    return check


def _some_of(known: Sequence[str]) -> Callable[[str], None]:
    def check(answer: str) -> None:
        for name in answer.split(","):
            _one_of(known)(name.strip())

    return check

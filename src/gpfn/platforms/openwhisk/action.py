"""An action: its code, baked into the image or sent to /init, and what it defines.

Code is put into a folder and imported from there; another action may take its place, so
what was imported and unpacked can be taken back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from gpfn.call.callback import run_steps, settle
from gpfn.call.contract import answering
from gpfn.errors import GpfnError
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.protocol import CANNOT_START, NO_BINARY, Init, Refusal
from gpfn.source_file import begin_in_file, load_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Action", "CodeFolder", "load_file", "load_sent"]


class CodeFolder:
    """Puts a folder first on sys.path, and takes back what it brought.

    A second try at /init, or code that takes the place of baked-in code, must not find the
    modules that the first one imported: ``labels.py`` there may be another one here.
    """

    def __init__(self, path: str, *, temporary: bool = False) -> None:
        """A ``temporary`` folder becomes the working directory, and is removed at the end."""
        self.path = path
        self._temporary = temporary
        self._cwd = os.getcwd()
        self._known = {name.partition(".")[0] for name in sys.modules}
        self._inserted = path not in sys.path
        if self._inserted:
            sys.path.insert(0, path)
        if temporary:
            os.chdir(path)

    def leave(self) -> None:
        """Take back the entry of sys.path, the modules, and the folder if it is temporary."""
        if self._inserted and self.path in sys.path:
            sys.path.remove(self.path)
        self._forget_modules()
        if self._temporary:
            from shutil import rmtree

            os.chdir(self._cwd)
            rmtree(self.path, ignore_errors=True)

    def _forget_modules(self) -> None:
        """Forget what was imported from here; installed packages stay, which may be native."""
        inside = os.path.join(self.path, "")
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if (
                name.partition(".")[0] not in self._known
                and isinstance(file, str)
                and file.startswith(inside)
                and "site-packages" not in file
            ):
                del sys.modules[name]


class Action:
    """A ``main``: a gpfn Function's, or any function of a dictionary, sync or async."""

    def __init__(self, main: Callable[..., object], folder: CodeFolder) -> None:
        self._main = main
        self._folder = folder
        self.function = answering(main)
        """The Function that answers; None for any other ``main``."""

    def call(self, value: object, activation: Activation) -> object:
        """Return what a ``main`` gives for its parameters; an async one is awaited."""
        result = self._main(value)
        if hasattr(result, "__await__"):
            return run_steps(settle(result), activation.deadline)
        return result

    def remove(self) -> None:
        """Forget its modules; code that was sent is removed from the disk."""
        self._folder.leave()


_MODULE = "main__"  # the stock runtime's name for it
# What the stock runtime takes first, what wsk sends, and what `-compile` of the stock makes.
_ENTRIES = ("exec", "__main__.py", "main__.py")
_ACTIVATE = ("virtualenv/bin/activate_this.py", "virtualenv/Scripts/activate_this.py")
_ELF = b"\x7fELF"


def load_file(path: str, main: str) -> Action:
    """Load an action that the image brings; a folder stands for its func.py.

    Raises Refusal with the platform's message; the reason is in its log.
    """
    file = os.path.abspath(os.path.join(path, "func.py") if os.path.isdir(path) else path)
    if not os.path.isfile(file):
        raise Refusal(502, CANNOT_START, log=f"no such file: {file}")
    return _load(CodeFolder(os.path.dirname(file)), lambda: file, main)


def load_sent(init: Init) -> Action:
    """Load the code that came with /init: source, or an archive in base64.

    Raises Refusal like :func:`load_file`.
    """
    from tempfile import mkdtemp

    folder = CodeFolder(mkdtemp(prefix="gpfn-action-"), temporary=True)

    def place() -> str:
        file = _place(init, folder.path)
        _activate_virtualenv(folder.path)
        return file

    return _load(folder, place, init.main)


def _load(folder: CodeFolder, place: Callable[[], str], main: str) -> Action:
    """Import the file that ``place`` returns; leaves nothing behind when that fails."""
    try:
        module = _blaming_the_code(lambda: load_module(_MODULE, place()))
        return Action(_callable(module, main), folder)
    except BaseException:
        sys.modules.pop(_MODULE, None)
        folder.leave()
        raise


def _place(init: Init, folder: str) -> str:
    """Write the code into ``folder``; returns the file to import."""
    code = init.decoded()
    from gpfn.platforms.openwhisk.archive import is_archive

    if is_archive(code):
        return _unpack(code, folder)
    is_elf = code.startswith(_ELF)
    if init.binary and (is_elf or not _is_text(code)):
        raise _no_python("an executable for Linux" if is_elf else "no zip and no tar archive")
    file = os.path.join(folder, "__main__.py")
    with open(file, "wb") as target:
        target.write(code)
    return file


def _no_python(kind: str) -> Refusal:
    return Refusal(502, NO_BINARY, log=f"The code is {kind}; this runtime takes Python.")


def _is_text(code: bytes) -> bool:
    try:
        return "\0" not in code.decode()
    except UnicodeDecodeError:
        return False


def _unpack(code: bytes, folder: str) -> str:
    from gpfn.platforms.openwhisk.archive import max_unpacked, unpack

    try:
        unpack(code, folder, max_unpacked())
    except GpfnError as error:
        raise Refusal(502, NO_BINARY, log=str(error)) from None
    files = [os.path.join(folder, name) for name in _ENTRIES]
    files = [file for file in files if os.path.isfile(file)]
    for file in files:
        if not _is_program(file):
            return file
    if files:
        raise _no_python("a program called exec")
    raise Refusal(502, NO_BINARY, log="Zip file does not include __main__.py at its top.")


def _is_program(file: str) -> bool:
    """Say whether a file is started rather than imported, as the ``exec`` that -compile makes."""
    with open(file, "rb") as source:
        first = source.readline(256)
    return first.startswith(_ELF) or (first.startswith(b"#!") and b"python" not in first)


def _activate_virtualenv(folder: str) -> None:
    if not os.path.isdir(os.path.join(folder, "virtualenv")):
        return
    for name in _ACTIVATE:
        script = os.path.join(folder, name)
        if os.path.isfile(script):
            with open(script, "rb") as source:
                code = compile(source.read(), script, "exec")
            exec(code, {"__file__": script, "__name__": "activate_this"})  # noqa: S102 - its own
            return
    log = f"Invalid virtualenv. Zip file does not include /{_ACTIVATE[0]}."
    raise Refusal(502, NO_BINARY, log=log)


def _blaming_the_code(step: Callable[[], ModuleType]) -> ModuleType:
    """Turn whatever the action's code raises into the reply that the platform expects."""
    try:
        return step()
    except Refusal:
        raise
    except SystemExit as error:
        log = f"Command exited abruptly during initialization. (exit code {error.code})"
        raise Refusal(502, CANNOT_START, log=log) from error
    except BaseException as error:
        from traceback import format_exception

        from gpfn.hidden import hidden

        begin_in_file(error)
        log = hidden("".join(format_exception(error))) + _advice(error)
        # what cannot be compiled fails earlier in the platform's runtime, with another message
        compiled = not isinstance(error, SyntaxError) or error.__traceback__ is not None
        raise Refusal(502, CANNOT_START if compiled else NO_BINARY, log=log) from error


def _advice(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return (
        f"{error.name} is not in this image: put it into the image, or into the zip "
        "(gpfn package openwhisk --with-deps). A requirements.txt is not installed here.\n"
    )


def _callable(module: ModuleType, main: str) -> Callable[..., object]:
    found: object = module
    for part in main.split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found
    named = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
    raise Refusal(
        502, CANNOT_START, log=f"{main} is not a function; there are: {', '.join(named) or 'none'}"
    )

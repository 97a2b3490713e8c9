"""The code of an action: baked into the image or sent to /init; imported and called."""

import binascii
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from gpfn.errors import GpfnError
from gpfn.function.drive import drive, settle
from gpfn.function.function import Function
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.archive import MAX_UNPACKED, is_archive, unpack
from gpfn.platforms.openwhisk.protocol import CANNOT_START, NO_BINARY, Init, Refusal

__all__ = ["Action", "load_file", "load_sent"]

_MODULE = "main__"  # the stock runtime's name for it
_LIMIT = "GPFN_MAX_CODE_BYTES"
_ACTIVATE = Path("virtualenv/bin/activate_this.py")


class Action:
    """A loaded action: the callable, and the folder of its code when it was sent."""

    def __init__(self, main: Callable[..., object], folder: Path | None = None) -> None:
        self._main = main
        self.folder = folder
        function = getattr(main, "function", main)
        self.function = function if isinstance(function, Function) else None

    def open(self) -> None:
        """Open the model of a gpfn Function, so that the first call finds it warm."""
        if self.function is not None:
            self.function.open()

    def __call__(self, value: object, activation: Activation) -> object:
        """Return what the action gives for its parameters; an async main is awaited."""
        if self.function is not None:
            from gpfn.platforms.openwhisk.adapter import answer_parameters

            return answer_parameters(self.function, value, activation)
        return drive(settle(self._main(value)), activation.deadline)

    def remove(self) -> None:
        """Remove the folder of code that was sent."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def load_file(path: Path, main: str) -> Action:
    """Load an action that the image brings; a folder stands for its func.py.

    Raises Refusal with the platform's message; the reason is in its log.
    """
    file = path / "func.py" if path.is_dir() else path
    return Action(_callable(_import(file), main))


def load_sent(init: Init) -> Action:
    """Load the code that came with /init: source, or an archive in base64."""
    folder = Path(tempfile.mkdtemp(prefix="gpfn-action-"))
    try:
        file = _place(init, folder)
        os.chdir(folder)
        _activate_virtualenv(folder)
        return Action(_callable(_import(file), init.main), folder)
    except BaseException:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _place(init: Init, folder: Path) -> Path:
    """Write the code into ``folder``; returns the file to import."""
    file = folder / "__main__.py"
    if not init.binary:
        file.write_text(init.code, encoding="utf-8")
        return file
    try:
        data = binascii.a2b_base64(init.code)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"cannot decode code: {error}") from None
    if not is_archive(data):
        raise Refusal(502, NO_BINARY, log="The code is no zip and no tar archive.")
    limit = os.environ.get(_LIMIT, "")
    try:
        unpack(data, folder, int(limit) if limit.isdecimal() else MAX_UNPACKED)
    except GpfnError as error:
        raise Refusal(502, NO_BINARY, log=str(error)) from None
    if not file.is_file():
        raise Refusal(502, NO_BINARY, log="Zip file does not include __main__.py at the top.")
    return file


def _activate_virtualenv(folder: Path) -> None:
    if not (folder / "virtualenv").is_dir():
        return
    script = folder / _ACTIVATE
    if not script.is_file():
        raise Refusal(
            502, NO_BINARY, log=f"Invalid virtualenv. Zip file does not include {_ACTIVATE}."
        )
    with _blamed_on_the_code():
        code = compile(script.read_bytes(), str(script), "exec")
        exec(code, {"__file__": str(script), "__name__": "activate_this"})  # noqa: S102 - it is the action's own code


def _import(file: Path) -> ModuleType:
    """Import the action's file, anew if another one was imported before.

    It is no gpfn.function.load: an action has its own name, and a failure its own words.
    """
    if not file.is_file():
        raise Refusal(502, CANNOT_START, log=f"no such file: {file}")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with _blamed_on_the_code():
        spec = importlib.util.spec_from_file_location(_MODULE, file)
        if spec is None or spec.loader is None:
            raise Refusal(502, CANNOT_START, log=f"not a Python file: {file}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[_MODULE] = module
        spec.loader.exec_module(module)
    return module


@contextmanager
def _blamed_on_the_code() -> Iterator[None]:
    """Turn whatever the action's code raises into the reply that the platform expects."""
    try:
        yield
    except Refusal:
        raise
    except SystemExit as error:
        log = f"Command exited abruptly during initialization. (exit code {error.code})"
        raise Refusal(502, CANNOT_START, log=log) from error
    except BaseException as error:
        import traceback

        raise Refusal(502, CANNOT_START, log="".join(traceback.format_exception(error))) from error


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

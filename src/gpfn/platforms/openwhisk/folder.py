"""The folder that an action's code lies in, while it is the action."""

import os
import sys

__all__ = ["CodeFolder"]


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

"""The folder of an action's code, entered and left."""

import importlib
import os
import sys
from pathlib import Path

from gpfn.platforms.openwhisk.action import CodeFolder


def test_entering_and_leaving(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "site-packages").mkdir(parents=True)
    (folder / "part_of_action.py").write_text("")
    (folder / "site-packages" / "installed_thing.py").write_text("")
    cwd, path = os.getcwd(), list(sys.path)
    entered = CodeFolder(str(folder), temporary=True)
    try:
        assert os.getcwd() == str(folder)
        importlib.import_module("part_of_action")
        sys.path.append(str(folder / "site-packages"))
        importlib.import_module("installed_thing")
        sys.path.remove(str(folder / "site-packages"))
    finally:
        entered.leave()
    assert "part_of_action" not in sys.modules
    assert sys.modules.pop("installed_thing"), "may be native, which cannot be loaded again"
    assert (os.getcwd(), sys.path) == (cwd, path)
    assert not folder.exists()
    entered.leave()


def test_packages_that_were_there_before_stay(tmp_path: Path) -> None:
    """A function at the top of a checkout has this package's own source below it."""
    import gpfn
    import gpfn.errors

    entered = CodeFolder(str(Path(gpfn.__file__).parents[2]))
    sys.modules.pop("gpfn.models.catalogue", None)
    importlib.import_module("gpfn.models.catalogue")
    entered.leave()
    assert "gpfn.models.catalogue" in sys.modules
    assert Path(gpfn.__file__).exists()
    assert tmp_path.exists()

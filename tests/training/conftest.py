"""The training scripts are no package: their folder goes on the path, as when they run."""

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "training"))

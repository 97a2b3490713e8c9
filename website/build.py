"""Build the site of the documentation into a folder, and check it.

    python website/build.py [FOLDER]

Without a folder it is build/site. Pictures are made first, by the product itself (shots.py); then
mkdocs makes the pages, and a warning of its is an error; then every link is followed (links.py).
Nothing here needs a network, and neither does the site.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "build" / "shots"


def build(folder: Path) -> int:
    """Build the site, and return the exit code: 0 when nothing is wrong with it."""
    roads = [str(ROOT), str(ROOT / "src"), str(ROOT / "website")]
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(roads),
        "GPFN_LOG": "quiet",
        "NO_MKDOCS_2_WARNING": "true",  # what a theme says of its own future is no fault here
    }
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    for words in (
        [sys.executable, "website/shots.py", SHOTS],
        [*mkdocs, "--config-file", "website/mkdocs.yml", "--site-dir", folder.resolve()],
        [sys.executable, "website/links.py", folder.resolve()],
    ):
        done = subprocess.run(words, cwd=ROOT, env=environ, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")))

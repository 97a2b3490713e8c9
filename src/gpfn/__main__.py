"""``python -m gpfn`` is ``gpfn``."""

import sys

from gpfn.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())

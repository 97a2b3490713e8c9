"""A container's own clock, which a test can move while the container runs.

Containers share the machine's clock. libfaketime stands between the process and the C
library's clock, and reads from a file how far the time is off; the monotonic clock stays.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["Clock"]

_FOLDER = "/clock"


class Clock:
    """The time in a container that is started with ``flags``."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # its reader is another user
        self._file = folder / "now"
        self.move(timedelta())
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self.flags = [
            f"--volume={folder}:{_FOLDER}:ro",
            f"--volume={library}:{_FOLDER}-library.so:ro",
            f"--env=LD_PRELOAD={_FOLDER}-library.so",
            f"--env=FAKETIME_TIMESTAMP_FILE={_FOLDER}/{self._file.name}",
            "--env=FAKETIME_NO_CACHE=1",
            "--env=FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]

    def move(self, offset: timedelta) -> None:
        """Set the container's time to ours plus ``offset``."""
        self._offset = offset
        self._file.write_text(f"{offset.total_seconds():+.0f}s\n")
        self._file.chmod(0o644)

    def in_a_minute(self) -> datetime:
        """Return the container's time a minute from now."""
        return datetime.now(UTC) + self._offset + timedelta(minutes=1)

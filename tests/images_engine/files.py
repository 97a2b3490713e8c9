"""What an image has in the layers above its base, file by file."""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from typing import NamedTuple

from gpfn.hosts.engine import ContainerEngine

__all__ = ["Entry", "entries"]


class Entry(NamedTuple):
    """One entry of a layer; ``content`` is a file's digest or a link's target."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    time: float
    content: str


def entries(engine: ContainerEngine, image: str, base: str) -> dict[str, Entry]:
    """Return the entries of the layers above the base by their path."""
    form = "{{json .RootFS.Layers}}"
    below = json.loads(engine.run("image", "inspect", "--format", form, base).stdout)
    found: dict[str, Entry] = {}
    with tempfile.TemporaryFile() as saved:
        subprocess.run([engine.name, "save", image], stdout=saved, check=True)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as archive:
            manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
            for name in manifest[0]["Layers"][len(below) :]:
                with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                    found.update({entry.name: _entry(layer, entry) for entry in layer})
    return found


def _entry(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> Entry:
    file = layer.extractfile(entry) if entry.isfile() else None
    content = hashlib.sha256(file.read()).hexdigest() if file else entry.linkname
    return Entry(entry.type, entry.mode, (entry.uid, entry.gid), entry.mtime, content)

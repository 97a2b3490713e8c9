"""ROOT files for tests: the mapping to 42 inputs, padding by awkward, small files by uproot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from gpfn.data.root import RootSource
from gpfn.data.seam import Chunk
from gpfn.models.branches import BranchMapping, parse_branches
from gpfn.models.toml_table import Table

__all__ = ["FORTY_TWO", "JETS", "MUONS", "by_awkward", "event_file", "mapped", "read", "vectors"]

JETS = ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"]
MUONS = ["Muon_pt", "Muon_eta", "Muon_phi"]
FORTY_TWO: list[Any] = [
    *(f"{name}[0:8]" for name in JETS),
    *(f"{name}[0:2]" for name in MUONS),
    ["PuppiMET_pt", "MET_pt"],
    ["PuppiMET_phi", "MET_phi"],
    "nJet",
    "nMuon",
]


def mapped(inputs: Sequence[Any], **keys: Any) -> BranchMapping:
    """Return the mapping that a TOML file with these keys has."""
    found = parse_branches(Table({"branches": {"inputs": [*inputs], **keys}}))
    assert found is not None
    return found


def by_awkward(tree: Any, inputs: Sequence[Any], padding: float = 0) -> npt.NDArray[np.float32]:
    """Return what awkward's own padding makes of branches, one after the other."""
    columns = []
    for each in inputs:
        names = each if isinstance(each, list) else [each]
        name, _, rest = next(n for n in names if n.partition("[")[0] in tree).partition("[")
        array = tree[name].array(library="ak")
        if rest:
            start, _, stop = rest.rstrip("]").partition(":")
            padded = ak.pad_none(array, int(stop), clip=True)[:, int(start) :]
            array = ak.fill_none(padded, np.float32(padding))
        found = ak.to_numpy(array).astype(np.float32)
        columns.append(found.reshape(tree.num_entries, int(found.size / max(len(found), 1)) or 1))
    if not tree.num_entries:
        return np.zeros((0, 0), np.float32)
    return np.concatenate(columns, axis=1)


def read(
    path: Path, wanted: list[str] | None = None, rows: int = 1000, **options: Any
) -> list[Chunk]:
    """Return all chunks of a file."""
    source = RootSource(str(path), **options)
    try:
        return [*source.chunks(wanted, rows)]
    finally:
        source.close()


def vectors(path: Path, mapping: BranchMapping, rows: int = 1000) -> npt.NDArray[np.float32]:
    """Return the vectors of all events of a file, and check the chunks."""
    chunks = read(path, ["features"], rows, mapping=mapping)
    firsts = [0, *np.cumsum([chunk.rows for chunk in chunks])]
    assert [chunk.first for chunk in chunks] == firsts[: len(chunks)]
    assert all(0 < chunk.rows <= rows for chunk in chunks)
    empty = np.zeros((0, mapping.width), np.float32)
    found = np.concatenate([empty, *(chunk.columns["features"] for chunk in chunks)])
    assert found.dtype == np.float32
    return found


def event_file(path: Path, branches: dict[str, Any], *, pieces: int = 1, **options: Any) -> Path:
    """Write a tree ``Events`` of arrays or lists of lists, in so many pieces."""
    arrays = {name: ak.Array(each) for name, each in branches.items()}
    kinds = {name: ak.type(each).content for name, each in arrays.items()}
    with uproot.recreate(path, **options) as file:
        tree = file.mktree("Events", kinds)
        rows = len(next(iter(arrays.values())))
        for piece in np.array_split(np.arange(rows), pieces):
            tree.extend({name: each[piece] for name, each in arrays.items()})
    return path

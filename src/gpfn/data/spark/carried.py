"""A model as tasks of Spark have it: carried by Spark to the machines where they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from gpfn.data.scorer import ModelOrder
from gpfn.models.open import split_uri

if TYPE_CHECKING:
    from gpfn.data.spark.session import RunningSpark

__all__ = ["CarriedModel", "carried_model"]

_NOT_CARRIED = (".toml",)
"""A pipeline's description names other files, which have to be where it says."""


class CarriedModel(NamedTuple):
    """An order for a model whose ``place``, a file or a folder, Spark carries as ``name``.

    ``name`` is empty for what is the same everywhere: a URL, or a path all workers see.
    """

    order: ModelOrder
    place: str = ""
    name: str = ""

    def here(self) -> ModelOrder:
        """Return the order for the process of a worker: with the path that the model has there."""
        if not self.name:
            return self.order
        from pyspark import SparkFiles

        own = SparkFiles.get(self.name)
        return self.order._replace(uri=self.order.uri.replace(self.place, own, 1))


def carried_model(order: ModelOrder, session: RunningSpark) -> CarriedModel:
    """Have Spark carry a model to its workers; on this machine they have it already."""
    place = _place(order.uri)
    if not place:
        return CarriedModel(order)
    whole = os.path.abspath(place)
    order = order._replace(uri=order.uri.replace(place, whole, 1))
    if session.master.here or whole.endswith(_NOT_CARRIED):
        return CarriedModel(order)
    session.spark.sparkContext.addFile(whole, recursive=os.path.isdir(whole))
    return CarriedModel(order, whole, os.path.basename(whole))


def _place(uri: str) -> str:
    """Return the file or folder of a model; nothing for a URL or the name of a module."""
    place = split_uri(uri)[0]
    if not os.path.exists(place):
        place = place.rpartition(":")[0]  # FILE.py:NAME
    return place if place and os.path.exists(place) else ""

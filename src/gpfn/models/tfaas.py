"""A model behind a TFaaS server, ours or the original: rows of numbers in, numbers out."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BrokenReply, InvalidTensor, ModelFailed, SetupError
from gpfn.models.signature import chosen
from gpfn.tensors.cast import cast_to
from gpfn.tensors.spec import TensorSpec
from gpfn.tfaas.client import TfaasClient

__all__ = ["TfaasModel"]

_Array = npt.NDArray[Any]
_VALUES = TensorSpec("float32", (None, None), "values")
_PREDICTIONS = TensorSpec("float32", (None, None), "predictions")
_COLUMN = TensorSpec("float32", (None, 1))


class TfaasModel:
    """A model by its URL, ``tfaas://host:8083/NAME``, or ``tfaas+https://`` with TLS.

    TFaaS tells nothing of what a model takes. So rows are ``values`` (rows, n), or an array of
    one value a row for each column: their names go along as the keys. The answer is
    ``predictions`` (rows, k), float32. Each row is a request. ``labels`` has the classes once
    an answer has told them. A call has the client's own time-out, a minute for each row.
    """

    backend = "tfaas"
    waits = True
    inputs = (_VALUES,)
    outputs = (_PREDICTIONS,)
    takes_columns = True
    """Columns of any names may be given instead of ``values``."""

    def __init__(self, url: str, *, token: str = "") -> None:
        """Parse the URL. Raises SetupError for one that cannot be used."""
        scheme, _, rest = url.partition("://")
        place, _, name = rest.rstrip("/").rpartition("/")
        if not place or not name or "?" in rest:
            raise SetupError("expected tfaas://HOST:PORT/NAME of a model", field="url")
        self._model = unquote(name)
        self._client = TfaasClient(f"{scheme[5:].lstrip('+') or 'http'}://{place}", token=token)
        self.name = f"{self._client.url}/{name}"
        self.labels: dict[str, tuple[str, ...]] = {}
        self._closed = False

    def __call__(
        self,
        inputs: Mapping[str, _Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, _Array]:
        """Compute; see `gpfn.models.Model`. Raises RefusedByModel with the server's words."""
        if self._closed:
            raise ModelFailed(f"{self.name} is closed")
        chosen(outputs, self.outputs)
        keys, values = _rows_of(inputs)
        answers = []
        for row in values.tolist():
            deadline.check("inference")
            answers.append(self._client.classes(row, keys=keys, model=self._model))
        if len({len(answer) for answer in answers}) > 1:
            raise BrokenReply(f"{self.name}: answers of different lengths")
        labels = tuple(one.label for one in answers[0]) if answers else ()
        self.labels = {_PREDICTIONS.name: labels} if all(labels) else {}
        told = [[one.probability for one in answer] for answer in answers]
        return {_PREDICTIONS.name: np.asarray(told, np.float32)}

    def close(self) -> None:
        """Let go of the server; a call fails from now on."""
        self._closed = True


def _rows_of(inputs: Mapping[str, _Array]) -> tuple[tuple[str, ...], _Array]:
    """Return the keys and the rows (rows, n) that arrays by name are. Raises InvalidTensor."""
    if set(inputs) == {_VALUES.name}:
        return (), cast_to(inputs[_VALUES.name], _VALUES, path=_VALUES.name)
    if not inputs:
        raise InvalidTensor("no values", field=_VALUES.name)
    columns = [
        cast_to(np.asarray(array).reshape(-1, 1), _COLUMN, path=name)
        for name, array in inputs.items()
    ]
    if len({len(column) for column in columns}) > 1:
        raise InvalidTensor("columns of different lengths", field=_VALUES.name)
    return tuple(inputs), np.concatenate(columns, 1)

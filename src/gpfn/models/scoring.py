"""From what a model gives to probabilities of classes, and which of them are told.

What a model's description says under ``scores``: which output has them, whether they are
probabilities already or logits, and whether one class is meant or each on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.toml_table import Table

    _Array = np.ndarray[Any, Any]

__all__ = ["Scoring", "parse_scoring"]

_SLACK = 0.01
"""How far a quantised probability may lie outside of 0 to 1."""
_SURE = 0.05
"""How far quantised probabilities may be from 1 together."""
_HALF = 0.5


class Scoring(NamedTuple):
    """How scores become probabilities.

    ``output`` is the name of the output that has them; a model with one needs none.
    ``softmax`` and ``sigmoid`` say that they are logits. With ``multilabel`` each class
    stands alone, and those of at least ``threshold`` are told: 0.5 unless it is said, and 0
    where one class is meant.

    >>> Scoring(multilabel=True).least
    0.5
    """

    output: str = ""
    softmax: bool = False
    sigmoid: bool = False
    multilabel: bool = False
    threshold: float | None = None

    @property
    def least(self) -> float:
        """The probability that a class has to have to be told."""
        if self.threshold is not None:
            return self.threshold
        return _HALF if self.multilabel else 0.0

    def over(self, described: Scoring) -> Scoring:
        """Return what is said here, and what a description says of the rest.

        What scores are (softmax, sigmoid, multilabel) is said in one place, all of it.

        >>> Scoring(threshold=0.2).over(Scoring(softmax=True)).softmax
        True
        """
        kind = self if self.softmax or self.sigmoid or self.multilabel else described
        return kind._replace(
            output=self.output or described.output,
            threshold=described.threshold if self.threshold is None else self.threshold,
        )

    def check(self) -> None:
        """Raise SetupError, whose field is the key, when it contradicts itself."""
        for name in ("sigmoid", "multilabel"):
            if self.softmax and getattr(self, name):
                told = "softmax lets classes share 1, which these do not: say sigmoid instead"
                raise SetupError(told, field="softmax")
        threshold = self.threshold
        if threshold is not None and not (type(threshold) in (int, float) and 0 <= threshold <= 1):
            raise SetupError(f"expected 0 to 1, got {threshold!r:.40}", field="threshold")

    def probabilities(self, scores: _Array, labels: int) -> _Array:
        """Return the probabilities (rows, classes) of ``scores`` (rows, scores) as real numbers.

        One score of two ``labels`` is the probability of the second. A row that is not of
        numbers stays as it is. Raises SetupError for numbers that cannot be probabilities.
        """
        import numpy as np

        found = scores.astype(np.float64)
        with np.errstate(all="ignore"):
            if self.softmax:
                powers = np.exp(found - found.max(axis=1, keepdims=True))
                found = powers / powers.sum(axis=1, keepdims=True)
            elif self.sigmoid:
                found = 1 / (1 + np.exp(-found))
        sound = found[np.isfinite(found).all(axis=1)]
        if sound.size and not -_SLACK <= sound.min() <= sound.max() <= 1 + _SLACK:
            raise SetupError(
                f"scores from {sound.min():.4g} to {sound.max():.4g} are no probabilities; if "
                "they are logits, say softmax, or sigmoid where each class stands alone",
                field="scores",
            )
        if found.shape[1] == 1 < labels:
            found = np.concatenate((1 - found, found), axis=1)
        return found

    def check_first(self, scores: _Array) -> None:
        """Raise SetupError when the scores (rows, scores) of some picture belie ``softmax``."""
        if not self.softmax:
            return
        alone = scores.shape[1] == 1
        if alone or (scores.min() >= 0 and (abs(scores.sum(axis=1) - 1) < _SURE).all()):
            told = (
                "one score alone is always 1 then; say sigmoid"
                if alone
                else ("the scores are probabilities already, which together are 1; leave it out")
            )
            raise SetupError(told, field="softmax")

    def best(self, probabilities: _Array, most: int | None, least: float | None) -> list[int]:
        """Return the numbers of the classes to tell of one row, the most probable first.

        At most ``most``, and of at least ``least``, or what the scoring says.
        """
        order = (-probabilities).argsort(kind="stable")[:most].tolist()
        bound = self.least if least is None else least
        return [number for number in order if bound <= 0 or probabilities[number] >= bound]


def parse_scoring(table: Table) -> Scoring:
    """Return how scores become probabilities. Raises SetupError."""
    stated = "threshold" in table
    threshold = table.number("threshold", 0, 1, 0)
    found = Scoring(
        output=table.text("output", ""),
        softmax=bool(table.choice("softmax")),
        sigmoid=bool(table.choice("sigmoid")),
        multilabel=bool(table.choice("multilabel")),
        threshold=threshold if stated else None,
    )
    table.end()
    try:
        found.check()
    except SetupError as error:
        raise table.wrong(error.detail, error.field or "") from None
    return found

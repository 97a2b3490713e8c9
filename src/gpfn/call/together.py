"""The events of a batch that ask the same model: one call for all of them where that is right.

Each event's steps run up to the model by themselves and wait there. What waits is stacked along
the first axis and predicted at once, the outputs are taken apart again, and each event's steps
go on with its own rows. This is only done for a model whose rows are computed apart
(:mod:`gpfn.models.batch_axis`). Whatever does not fit, and everything when the model refuses
the whole, is predicted by itself: then the event that is to blame fails alone.

Why a call is no larger than it is: what makes calling a model together pay is what a call costs
besides its rows, and that is soon spread thin, while memory goes on growing with the rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gpfn.errors import ModelFailed
from gpfn.models.batch_axis import LARGEST_BATCH, batch_obstacle, output_elements

if TYPE_CHECKING:
    from gpfn.call.callback import Steps
    from gpfn.call.contract import Contract
    from gpfn.call.costs import Stages
    from gpfn.deadline import Deadline

__all__ = ["Joint", "Question", "joint_of"]

_ELEMENTS = 64 << 10
"""Numbers that one call takes and gives at most, so that it is no burden on a small container."""
_SECONDS = 0.02
"""How long a call is expected to take at most: a model that is slower gains nothing."""
_PATIENCE = 0.02
"""How long (seconds) what waits for the model is kept waiting by events whose data take long."""
_TICK = 1e-9

_ndarray = np.ndarray
_T = TypeVar("_T")
_Arrays = tuple[np.ndarray, ...]


class Question:
    """What one event asks the model; its steps wait for the answer.

    ``names`` are those of its arrays, empty where they come by their order. Questions of one
    ``key`` can be asked together. ``elements`` counts what is given for it as well.
    """

    __slots__ = ("arrays", "deadline", "elements", "key", "names", "rows")

    def __init__(
        self, names: tuple[Any, ...], arrays: _Arrays, deadline: Deadline, row_gives: int
    ) -> None:
        self.names = names
        self.arrays = arrays
        self.deadline = deadline
        self.rows = len(arrays[0])
        if len(arrays) == 1:  # as nearly always
            array = arrays[0]
            self.key: tuple[Any, ...] = (names, array.dtype.char, array.shape[1:])
            size = array.size
        else:
            self.key = (names, *[(array.dtype.char, array.shape[1:]) for array in arrays])
            size = sum([array.size for array in arrays])
        self.elements = size + self.rows * row_gives or 1  # rows of nothing cost something

    def __await__(self) -> Generator[Any, None, object]:
        """Fail: nothing but the batch that it is part of can wait for it."""
        raise TypeError("a question to the model is answered by the batch that it is part of")

    def with_arrays(self, arrays: _Arrays) -> object:
        """Return these arrays as they were given: by name, or in order."""
        return dict(zip(self.names, arrays, strict=True)) if self.names else arrays


_Waiting = list[tuple[int, "Steps[Any]", Question]]


class Joint:
    """One function's model, asked for several events at once.

    It learns how long a row takes, and whether the model computes a batch at all.
    """

    __slots__ = ("_copies", "_limit", "_most", "_pace", "_predict", "_refused", "_row_gives")

    def __init__(self, contract: Contract, row_gives: int) -> None:
        """``row_gives`` is how many elements the model gives for a row."""
        self._predict = contract.predict
        self._copies = contract.before is not None  # it may use one array again and again
        self._row_gives = row_gives
        self._limit = min(_ELEMENTS, contract.limits.elements)
        self._most = 0  # elements of a call; none before one was timed
        self._pace = inf  # the fewest seconds for an element so far
        self._refused: BaseException | None = None

    def ask(self, value: object, deadline: Deadline) -> object:
        """Return a question for what can be asked with others, for all else the answer.

        The first one is answered at once: how long that takes says how many may be asked
        together. Raises what the model raises.
        """
        question = self._question(value, deadline)
        if question is None:
            return self._predict(value, deadline)
        if self._refused is not None or 2 * question.elements > self._most:
            return self._timed(value, deadline, question.elements)
        return question

    def gather(self, members: Iterable[Steps[_T]], stages: Stages) -> Steps[list[_T]]:
        """Run the steps of all events to their end and return what they return, in order."""
        done: list[Any] = []
        waiting: _Waiting = []
        rows = elements = 0
        until = 0.0
        for number, steps in enumerate(members):
            try:
                found: Any = next(steps)
                if found.__class__ is not Question:
                    found = yield from _advanced(steps, found)
            except StopIteration as stop:
                found = stop.value
            done.append(found)
            if found.__class__ is not Question:
                continue
            rows, elements = rows + found.rows, elements + found.elements
            if waiting and (rows > LARGEST_BATCH or elements > self._most or monotonic() > until):
                yield from self._settle(waiting, done, stages)
                waiting, rows, elements = [], found.rows, found.elements
            if not waiting:
                until = monotonic() + _PATIENCE
            waiting.append((number, steps, found))
        yield from self._settle(waiting, done, stages)
        return done

    def _settle(self, waiting: _Waiting, done: list[Any], stages: Stages) -> Steps[None]:
        """Ask the model, and run what waited for it to its end."""
        if not waiting:
            return
        stages.begin("predict")
        answers = self._answers([question for _, _, question in waiting])
        for (number, steps, _), answer in zip(waiting, answers, strict=True):
            resume: Any = steps.throw if isinstance(answer, BaseException) else steps.send
            try:
                done[number] = yield from _advanced(steps, resume(answer))
            except StopIteration as stop:  # as all that have no async function
                done[number] = stop.value

    def _answers(self, questions: Sequence[Question]) -> Sequence[object]:
        """Return the answer or the error of each; what has become late meanwhile is not asked."""
        groups: dict[object, list[int]] = {}
        now = monotonic()
        for index, question in enumerate(questions):
            late = question.deadline.at <= now
            groups.setdefault(index if late else question.key, []).append(index)
        if len(groups) == 1:  # as nearly always
            return self._group(questions)
        answers: list[object] = [None] * len(questions)
        for members in groups.values():
            found = self._group([questions[index] for index in members])
            for index, answer in zip(members, found, strict=True):
                answers[index] = answer
        return answers

    def _group(self, questions: Sequence[Question]) -> Sequence[object]:
        if len(questions) == 1:
            return [self._alone(questions[0])]
        try:
            return self._together(questions)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - each is asked by itself then
            refused = error.with_traceback(None)  # which holds all of this
        answers = [self._alone(question) for question in questions]
        if not any(isinstance(answer, BaseException) for answer in answers):
            self._refused = refused  # it computes rows, but no batch of them
        return answers

    def _together(self, questions: Sequence[Question]) -> Sequence[object]:
        """Return the answers of one call. Raises ModelFailed when it has other rows.

        It ends with the latest of their deadlines, so that one that is short cuts off no other.
        """
        first = questions[0]
        columns = zip(*[question.arrays for question in questions], strict=True)
        value = first.with_arrays(tuple([np.concatenate(column) for column in columns]))
        deadline = max([question.deadline for question in questions], key=_at)
        elements = sum([question.elements for question in questions])
        given = self._timed(value, deadline, elements)
        return _parts(given, [question.rows for question in questions])

    def _alone(self, question: Question) -> object:
        """Return the answer of one, or its error."""
        try:
            question.deadline.check("the prediction was begun")
            value = question.with_arrays(question.arrays)
            return self._timed(value, question.deadline, question.elements)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the event's steps decide
            return error

    def _timed(self, value: object, deadline: Deadline, elements: int) -> object:
        began = perf_counter()
        given = self._predict(value, deadline)
        pace = max(_TICK, perf_counter() - began) / elements
        if pace < self._pace:  # the fewest: others may have had the processor
            self._pace = pace
            self._most = int(min(self._limit, _SECONDS / pace))
        return given

    def _question(self, value: object, deadline: Deadline) -> Question | None:
        """Return the question of arrays of numbers that have rows, all as many."""
        names: tuple[Any, ...] = ()
        if value.__class__ is _ndarray:
            arrays: tuple[Any, ...] = (value,)
        elif isinstance(value, Mapping):
            names, arrays = tuple(value), tuple(value.values())
        else:
            arrays = tuple(value) if isinstance(value, list | tuple) else (value,)
        rows = 0
        for array in arrays:
            if array.__class__ is not _ndarray or array.dtype.kind not in "buif":
                return None
            if not array.ndim or len(array) != (rows or len(array)):
                return None
            rows = len(array)
        if not rows or rows > LARGEST_BATCH:
            return None
        if self._copies:
            arrays = tuple([array.copy() for array in arrays])
        return Question(names, arrays, deadline, self._row_gives)


def joint_of(contract: Contract) -> Joint | None:
    """Return what asks the model of a function for several events; None where that is not right.

    That is where a handler computes, where the model promises nothing of its rows, and where
    the function's declaration says so.
    """
    model = contract.model
    if contract.handler is not None or model is None or not contract.together:
        return None
    if batch_obstacle(model, contract.asks):
        return None
    if contract.joint is None:
        contract.joint = Joint(contract, output_elements(model))
    return contract.joint


def _at(deadline: Deadline) -> float:
    return deadline.at


def _advanced(steps: Steps[Any], found: Any) -> Steps[Any]:
    """Run one event's steps on until they ask the model, or to their end; return what came.

    What they wait for, first ``found``, is handed on to who runs the batch.
    """
    try:
        while found.__class__ is not Question:
            try:
                result = yield found
            except Exception as error:  # noqa: BLE001 - handed to the steps, which decide
                found = steps.throw(error)
            else:
                found = steps.send(result)
    except StopIteration as stop:
        return stop.value
    return found


def _parts(given: Any, rows: Sequence[int]) -> list[object]:
    """Return each question's rows of what was given for all of them, in their order."""
    total = sum(rows)
    for name, array in given.items():
        if not array.ndim or len(array) != total:
            told = f"the model gave {name} in the shape {list(array.shape)} for {total} rows"
            raise ModelFailed(told)
    parts: list[object] = []
    start = 0
    for count in rows:
        end = start + count
        parts.append({name: array[start:end] for name, array in given.items()})
        start = end
    return parts

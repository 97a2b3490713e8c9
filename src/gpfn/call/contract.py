"""What a call stands on: a frozen contract, the circumstances of one call, and its reply.

The pipeline (:mod:`gpfn.call.pipeline`) works on a :class:`Contract` and knows no function;
platforms work on whatever is :class:`Answering` and know no function either.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from gpfn.call.callback import Callback
from gpfn.deadline import NEVER, Deadline
from gpfn.limits import Limits
from gpfn.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.decode import Parsed
    from gpfn.call.together import Joint
    from gpfn.models.model import Model
    from gpfn.rows.schema import RowSchema
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Answering", "Call", "Contract", "Opened", "Reply", "answering"]


class Call(NamedTuple):
    """The circumstances of one call, as the platform told them.

    ``parameters`` are OpenWhisk's, those of its action, package and trigger among them;
    empty on other platforms. Do not change them.
    """

    id: str = ""
    deadline: Deadline = NEVER
    platform: str = "call"
    parameters: Mapping[str, object] = {}


class Reply(NamedTuple):
    """The answer, with the status that HTTP would show.

    ``stages`` are (name, seconds) in the order they ran; ``error`` is set when the
    message holds an error document, ``failures`` hold what failed within a batch.
    ``memory`` is (name, resident bytes after the stage), where the runner asks for it.
    ``is_json`` says that the message's body is known to be JSON text. ``trace`` is the W3C
    trace id of an event in structured mode; in binary mode the request's headers have it.
    """

    message: Message
    status: int = 200
    stages: tuple[tuple[str, float], ...] = ()
    error: BaseException | None = None
    failures: tuple[BaseException, ...] = ()
    memory: tuple[tuple[str, int], ...] = ()
    is_json: bool = False
    trace: str = ""

    def release(self) -> None:
        """Let go of the frames that its errors went through, once they are logged.

        One of those frames may hold this reply, and most of them the call's body: a cycle
        that would stay until the garbage collector runs.
        """
        if self.error is None and not self.failures:
            return  # as nearly every call
        waiting: list[BaseException | None] = [self.error, *self.failures]
        seen: set[int] = set()
        while waiting:
            error = waiting.pop()
            if error is None or id(error) in seen:
                continue
            seen.add(id(error))
            error.with_traceback(None)  # also where a class does not let attributes be set
            waiting += (error.__cause__, error.__context__)
            if isinstance(error, BaseExceptionGroup):
                waiting += error.exceptions


class Opened(NamedTuple):
    """How long opening took; ``uri`` is the model that was found, as logs may have it.

    Empty without a model; never with the user, password or query of an address.
    ``loaded_bytes`` is resident memory between loading and warm-up, where the runner asks.
    ``warmup_failure`` is why the first call, on zeros, failed: that stops nothing.
    """

    load_seconds: float = 0.0
    warmup_seconds: float = 0.0
    uri: str = ""
    loaded_bytes: int = 0
    warmup_failure: str = ""


class Contract:
    """What an opened function takes, what computes, and what it answers; never changed.

    Only ``joint`` comes later: what its batches have learnt of asking the model.

    ``takes`` is ``arrays``, ``rows``, ``event``, ``payload`` or ``message``; ``specs`` are the
    arrays, which rows become as ``rows`` says.
    A value passes ``before``, then ``handler`` (or ``predict``, which asks the model), then
    ``after``; each may be None, but for one that computes. ``output`` names the output to
    answer with, ``stamp`` the type and source of the replying event, and ``nonfinite`` says
    whether NaN becomes null in JSON or is refused. ``asks`` are the outputs that ``predict``
    asks the model for, all when empty; ``together`` says whether the events of a batch may be
    one such call. ``hints`` says that the specs are what a model server tells of itself, whose
    shapes need not be right.
    """

    __slots__ = (
        "after",
        "asks",
        "before",
        "handler",
        "hints",
        "joint",
        "limits",
        "model",
        "nonfinite",
        "output",
        "predict",
        "rows",
        "specs",
        "stamp",
        "takes",
        "together",
    )

    def __init__(
        self,
        *,
        takes: str,
        specs: "tuple[TensorSpec, ...]",
        before: Callback | None,
        handler: Callback | None,
        predict: Callable[[object, Deadline], object],
        after: Callback | None,
        model: "Model | None",
        output: str,
        stamp: tuple[str | None, str | None],
        nonfinite: str,
        limits: Limits,
        asks: tuple[str, ...] = (),
        together: bool = True,
        hints: bool = False,
        rows: "RowSchema | None" = None,
    ) -> None:
        self.takes = takes
        self.specs = specs
        self.before = before
        self.handler = handler
        self.predict = predict
        self.after = after
        self.model = model
        self.output = output
        self.stamp = stamp
        self.nonfinite = nonfinite
        self.limits = limits
        self.asks = asks
        self.together = together
        self.hints = hints
        self.rows = rows
        self.joint: Joint | None = None

    def asking(self, predict: Callable[[object, Deadline], object]) -> "Contract":
        """Return the same with another way of asking the model."""
        kept = {name: getattr(self, name) for name in self.__slots__ if name != "joint"}
        return Contract(**{**kept, "predict": predict})


class Answering:
    """What a platform needs of a function; :class:`gpfn.Function` is one.

    ``request`` is a message as it came, or what a platform has parsed already.
    """

    name: str
    """What logs call it."""
    takes: str
    """What it is given: ``arrays``, ``rows``, ``event``, ``payload`` or ``message``."""
    models: tuple[str, ...] = ()
    """URIs of the models that it computes with, as it declares them."""
    model: "Model | None" = None
    """The model that was opened with it."""

    @property
    def limits(self) -> Limits:
        """The bounds on a request."""
        raise TypeError(f"{type(self).__name__} has no limits")

    @property
    def is_async(self) -> bool:
        """Whether any of its callables is an async function."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether calls find its model open."""
        return True

    def open(self) -> Opened:
        """Open and warm up its model; once, whoever asks first. Raises SetupError, BackendError."""
        return Opened()

    def answer(self, request: "Message | Parsed", call: Call = Call()) -> Reply:  # noqa: B008
        """Answer one request; never raises: what goes wrong is an error document."""
        raise TypeError(f"{self.name} answers neither {request} nor {call}")

    def answer_async(
        self,
        request: "Message | Parsed",
        call: Call = Call(),  # noqa: B008 - immutable
    ) -> Awaitable[Reply]:
        """Answer one request without holding up the event loop."""
        raise TypeError(f"{self.name} answers neither {request} nor {call}")


def answering(target: object) -> Answering | None:
    """Return the function that ``target`` is or is an adapter of; None for anything else.

    A module's ``handler`` may be a Function, one of its adapters, or a function of the
    platform's own kind.
    """
    function = getattr(target, "function", target)
    return function if isinstance(function, Answering) else None

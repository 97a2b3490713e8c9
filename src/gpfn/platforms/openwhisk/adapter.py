"""A function as an OpenWhisk action: ``main = f.openwhisk``.

A function's file makes one whatever platform it runs on: what answers is loaded by the
first activation, so that a cold start on Fn does not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.call.contract import Answering
    from gpfn.platforms.openwhisk.answer import CallLog

__all__ = ["OpenWhiskMain"]


class OpenWhiskMain:
    """``main = f.openwhisk``: what the stock Python runtime and ours call with parameters.

    Parameters that are a structured CloudEvent give an event, a web action's request a
    web reply, Kafka's messages a list of results, any others what the function makes of
    them as JSON. A failure gives ``{"error": {…}}``, which OpenWhisk shows as an
    application error and which keeps the container warm.
    """

    def __init__(self, function: Answering) -> None:
        self.function = function
        self._log: CallLog | None = None

    def open(self) -> None:
        """Open the model before the first call, under a runtime that does not; never raises."""
        if "gpfn.platforms.openwhisk.server" in sys.modules:
            return  # this is gpfn's own runtime, which opens it when the code is loaded
        self._calls().started(self.function)

    def __call__(self, args: Mapping[str, object] | list[object] | None = None) -> object:
        """Answer one activation with an object, or with an array for an array; never raises."""
        from gpfn.json_exact import loads
        from gpfn.platforms.openwhisk.activation import Activation
        from gpfn.platforms.openwhisk.answer import answer_parameters

        parameters = {} if args is None else args
        activation = Activation.from_environ()
        return loads(answer_parameters(self.function, parameters, activation, self._calls()))

    def _calls(self) -> CallLog:
        if self._log is None:
            from gpfn.platforms.openwhisk.answer import CallLog

            self._log = CallLog()
        return self._log

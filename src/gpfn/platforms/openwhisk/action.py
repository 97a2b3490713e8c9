"""An action that is loaded: opened, called, and taken back."""

from collections.abc import Callable, Mapping

from gpfn.function.drive import drive, settle
from gpfn.function.function import Function
from gpfn.platforms.openwhisk.activation import Activation
from gpfn.platforms.openwhisk.folder import CodeFolder
from gpfn.platforms.openwhisk.log import CallLog

__all__ = ["Action"]


class Action:
    """A ``main``: a gpfn Function's, or any function of a dictionary, sync or async."""

    def __init__(self, main: Callable[..., object], folder: CodeFolder) -> None:
        self._main = main
        self._folder = folder
        function = getattr(main, "function", main)
        self.function = function if isinstance(function, Function) else None

    def open(self, log: CallLog, import_seconds: float, memory: Mapping[str, int]) -> None:
        """Open the model of a gpfn Function, so that the first call finds it warm."""
        if self.function is not None:
            from gpfn.platforms.openwhisk.answering import open_function

            open_function(self.function, log, import_seconds, memory)

    def __call__(self, value: object, activation: Activation, log: CallLog) -> object:
        """Return what the action gives for its parameters; an async main is awaited."""
        if self.function is not None:
            from gpfn.platforms.openwhisk.answering import answer_parameters

            return answer_parameters(self.function, value, activation, log)
        result = self._main(value)
        if hasattr(result, "__await__"):
            return drive(settle(result), activation.deadline)
        return result

    def remove(self) -> None:
        """Forget its modules; code that was sent is removed from the disk."""
        self._folder.leave()

"""A stage's failure as the pipeline's: it names the stage, and keeps the message and the blame.

What a server behind us refused, it refused of the caller's data: its 400 stays a 400. What it
could not do is a server's fault, and its time running out is the time running out.
"""

from __future__ import annotations

from gpfn.errors import (
    BackendTimeout,
    CallerError,
    CannotConnect,
    GpfnError,
    ModelFailed,
    Overloaded,
    RefusedByModel,
    TooLarge,
    UnsupportedMedia,
)

__all__ = ["cause_of", "in_stage", "may_be_asked_again"]

_NAMED = "stage "
_REFUSALS: dict[int, type[CallerError]] = {
    400: CallerError,
    413: TooLarge,
    415: UnsupportedMedia,
    422: CallerError,
}


def in_stage(error: Exception, stage: str) -> GpfnError:
    """Return the error of a stage as that of a pipeline."""
    if not isinstance(error, GpfnError):
        told = f"stage {stage}: unexpected {type(error).__name__}; the log has the trace"
        return ModelFailed(told)
    detail = f"{_NAMED}{stage}: {error.detail}"
    if isinstance(error, RefusedByModel):
        return _refused(error, detail)
    named = type(error).__new__(type(error))  # whatever its __init__ wants
    named.__dict__.update(error.__dict__)
    named.detail = GpfnError(detail).detail
    named.args = (named.detail,)
    return named


def _refused(error: RefusedByModel, detail: str) -> GpfnError:
    if error.code in _REFUSALS:
        return _REFUSALS[error.code](detail, field=error.field)
    if error.code in (429, 503):
        return Overloaded(detail)
    if error.code == 504:
        return BackendTimeout(detail, field=error.field)
    return RefusedByModel(detail, field=error.field, code=error.code)


def cause_of(error: Exception) -> BaseException | None:
    """Return what a stage's failure is raised from: code that failed, and nothing else.

    A server that cannot be reached fails every request; with a trace of each a log hides the
    rest.
    """
    if not isinstance(error, GpfnError):
        return error
    cause = error.__cause__
    return None if isinstance(cause, OSError) else cause


def may_be_asked_again(error: Exception) -> bool:
    """Say whether the stage has certainly not computed: nobody was there.

    One that answers, if only that it has too much to do, may have computed before it asked
    another; and who cannot be reached may be a stage of a stage.
    """
    return isinstance(error, CannotConnect) and not error.detail.startswith(_NAMED)

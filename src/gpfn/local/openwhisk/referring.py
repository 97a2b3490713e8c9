"""Whether what an entity refers to is there, and is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gpfn.local.openwhisk.limits import MOST_COMPONENTS
from gpfn.local.openwhisk.naming import GUEST, EntityRef
from gpfn.local.openwhisk.records import WhiskAction
from gpfn.local.openwhisk.refusing import WhiskRefusal

__all__ = ["check_components", "check_owner", "not_yours", "package_ref"]

_MOST_STEPS = 10_000
"""Sequences in sequences: the platform follows them for ever."""


def not_yours(names: Iterable[str]) -> WhiskRefusal:
    """Return what is said of what is another namespace's."""
    listed = ", ".join(sorted(names))
    return WhiskRefusal(403, f"The supplied authentication is not authorized to access '{listed}'.")


def package_ref(ref: EntityRef) -> EntityRef:
    """Return the path of the package, or the binding, that an action's path goes through."""
    return EntityRef("", ref.package, ref.namespace)


def check_owner(refs: Iterable[EntityRef | None]) -> None:
    """Raise WhiskRefusal (403) for paths of other namespaces: there is one."""
    foreign = {str(ref) for ref in refs if ref is not None and ref.namespace != GUEST}
    if foreign:
        raise not_yours(foreign)


def check_components(
    sequence: EntityRef,
    components: Sequence[EntityRef],
    find: Callable[[EntityRef], WhiskAction | None],
) -> None:
    """Raise WhiskRefusal (400) for a sequence that is too long, has nothing in it, or itself.

    ``find`` returns the action that a path leads to, through bindings too. Actions are counted
    in all sequences of the sequence.
    """
    if not components:
        raise WhiskRefusal(400, "No component specified for the sequence.")
    waiting, count = [*reversed(components)], 0  # the first fault in order is told
    for _ in range(_MOST_STEPS):
        if count + len(waiting) > MOST_COMPONENTS:
            break
        if not waiting:
            return
        ref = waiting.pop()
        action = find(ref)
        if sequence in (ref, action and action.ref):  # also one that is only to be made
            raise WhiskRefusal(400, "Sequence may not refer to itself.")
        if action is None:
            raise WhiskRefusal(400, "Sequence component does not exist.")
        count += action.exec.kind != "sequence"
        waiting.extend(reversed(action.exec.components))
    raise WhiskRefusal(400, "Too many actions in the sequence.")

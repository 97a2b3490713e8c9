"""``__all__`` exists in every module, is sorted, complete and true."""

import ast
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.sources import Module, modules


def declared(module: Module) -> list[str] | None:
    """Return what the module's source says its ``__all__`` is."""
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return list(ast.literal_eval(value))
    return None


def defined(module: Module) -> Iterator[str]:
    """Find the public names that the module itself makes."""
    for node in module.tree.body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def order(name: str) -> tuple[int, str]:
    """Sort as ruff does: constants, then classes, then the rest."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("name", sorted(modules()))
def test_all_is_sorted_complete_and_true(name: str) -> None:
    module = modules()[name]
    names = declared(module)
    assert names is not None, f"{module.path} has no __all__"
    assert names == sorted(names, key=order)
    assert len(names) == len(set(names))
    public = {made for made in defined(module) if not made.startswith("_")} - {"TYPE_CHECKING"}
    assert public <= set(names), f"{module.path}: public but not in __all__"
    if name.rsplit(".", 1)[-1] != "__main__":
        loaded = import_module(name)
        assert [made for made in names if not hasattr(loaded, made)] == []


def test_dir_of_the_package_shows_every_public_name() -> None:
    import gpfn

    assert set(gpfn.__all__) <= set(dir(gpfn))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gpfn.nothing


def test_no_public_name_is_that_of_a_module_beside_it() -> None:
    """Whoever imports the module first would give everybody it in the place of the name."""
    known = modules()
    shadowed = {
        f"{name}.{made}"
        for name, module in known.items()
        for made in declared(module) or ()
        if f"{name}.{made}" in known
    }
    assert shadowed == set()

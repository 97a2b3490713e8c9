"""What an ``except`` clause does with the error that it catches."""

import ast
import tokenize
from collections.abc import Iterator
from io import StringIO

__all__ = ["swallowed"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_EVERYTHING = {"Exception", "BaseException"}
_LOGS = {"debug", "info", "warning", "error", "exception", "critical", "print", "print_exc"}
_LEAVES = ast.Return | ast.Continue | ast.Break


def swallowed(source: str) -> list[tuple[int, str]]:
    """Return line and reason for each place of a module that loses an error without a word.

    A clause raises, uses the error, logs, gives a value back, calls something, or keeps what
    has happened in a name that is read afterwards. One that only leaves (``return``,
    ``continue``, ``break``), and ``contextlib.suppress``, say in a comment why. One that
    catches everything raises, uses the error or logs.
    """
    tree = ast.parse(source)
    comments = _commented_lines(source)
    found = []
    for function, node in _with_function(tree, tree):
        if isinstance(node, ast.ExceptHandler):
            reason = _fault(node, function, comments)
        elif isinstance(node, ast.With | ast.AsyncWith) and any(map(_suppresses, node.items)):
            said = comments & set(range(node.lineno - 1, node.body[0].lineno + 1))
            reason = "" if said else "suppress without a comment"
        else:
            continue
        if reason:
            found.append((node.lineno, reason))
    return sorted(found)


def _with_function(node: ast.AST, function: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node with the innermost function around it, or the module."""
    for child in ast.iter_child_nodes(node):
        yield function, child
        yield from _with_function(child, child if isinstance(child, _Function) else function)


def _commented_lines(source: str) -> set[int]:
    """Return the lines with a comment that is for people, not for a linter."""
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return {
        token.start[0]
        for token in comments
        if not token.string.startswith(("# noqa:", "# type:")) or " - " in token.string
    }


def _fault(clause: ast.ExceptHandler, function: ast.AST, comments: set[int]) -> str:
    if _raises_uses_or_logs(clause):
        return ""
    if clause.type is None or _names(clause.type) & _EVERYTHING:
        return "catches everything, and neither raises nor logs"
    if all(_does_nothing(statement) for statement in clause.body):
        return "does nothing"
    if any(_acts(statement, clause, function) for statement in clause.body):
        return ""
    if comments & set(range(clause.lineno - 1, (clause.end_lineno or clause.lineno) + 1)):
        return "" if isinstance(clause.body[-1], _LEAVES) else "does nothing that counts"
    return "leaves without a value and does not say why"


def _raises_uses_or_logs(clause: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Name) and node.id == clause.name)
        or (isinstance(node, ast.Call) and bool(_names(node.func) & _LOGS))
        for statement in clause.body
        for node in ast.walk(statement)
    )


def _does_nothing(statement: ast.stmt) -> bool:
    """Say whether a statement has no effect: ``pass``, ``...``, a value that nobody takes."""
    if isinstance(statement, ast.Expr):
        effects = ast.Call | ast.Await | ast.Yield | ast.YieldFrom
        return not any(isinstance(node, effects) for node in ast.walk(statement))
    return isinstance(statement, ast.Pass)


def _acts(statement: ast.stmt, clause: ast.ExceptHandler, function: ast.AST) -> bool:
    """Say whether something comes of a statement: a value, a call, a name that is read."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Return) and node.value is not None:
            return True
        if isinstance(node, ast.Call | ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            return _is_read(node.id, clause, function)
    return False


def _is_read(name: str, clause: ast.ExceptHandler, function: ast.AST) -> bool:
    """Say whether a name that a clause sets is read outside of it, or known outside."""
    inside = set(ast.walk(clause))
    return any(
        (isinstance(node, ast.Global | ast.Nonlocal) and name in node.names)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load))
        for node in ast.walk(function)
        if node not in inside
    )


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and "suppress" in _names(call.func)


def _names(node: ast.expr) -> set[str]:
    """Return the last parts of the names in an expression: ``suppress`` of contextlib's."""
    return {
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    }

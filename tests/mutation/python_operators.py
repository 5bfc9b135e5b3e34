"""Small changes of Python functions, each of which a good suite of tests ought to notice.

A change is made in the syntax tree, so positions stay. Texts are left alone: whoever reads a message's test has read it.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Node = TypeVar("_Node", bound=ast.stmt | ast.expr)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_CALCULATED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """A change.

    Attributes:
        function: Dotted name of the outermost function it is in, without its module.
        digest: Of that function's text.
        number: Of the change among all of the function.
        line: Where it is.
        what: The changed expression or statement before and after, for people.
    """

    function: str
    digest: str
    number: int
    line: int
    what: str


def mutants(source: str) -> Iterator[tuple[Mutant, ast.Module]]:
    """Yield every change of a file with the whole tree, changed until the next one is asked for."""
    tree = ast.parse(source)
    for name, function in _functions(tree.body):
        digest = hashlib.sha256(ast.unparse(function).encode()).hexdigest()[:16]
        number = 0
        for owner, field, index in list(_slots(function)):
            old = getattr(owner, field) if index is None else getattr(owner, field)[index]
            for new in _changes(owner, field, old):
                number += 1
                _put(owner, field, index, new)
                text = f"{_text(old)} -> {_text(new)}"
                yield Mutant(name, digest, number, _line(old, function), text), tree
                _put(owner, field, index, old)


def _functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield the functions that are in no other function."""
    for statement in body:
        if isinstance(statement, Function):
            yield prefix + statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            yield from _functions(statement.body, f"{prefix}{statement.name}.")


def _slots(function: Function) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Yield where something is: node, field, index if the field is a list. What no test can see is left out."""
    stack: list[ast.AST] = [function]
    while stack:
        node = stack.pop()
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "decorator_list", "args", "msg"} and not isinstance(
                node, ast.Call
            ):
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":
                continue
            children = enumerate(value) if isinstance(value, list) else [(None, value)]
            for index, child in children:
                if isinstance(child, ast.JoinedStr) or not isinstance(child, ast.AST):
                    continue
                yield node, field, index
                stack.append(child)


def _put(owner: ast.AST, field: str, index: int | None, new: ast.AST | None) -> None:
    if index is None:
        setattr(owner, field, new)
    else:
        getattr(owner, field)[index] = new


def _line(node: ast.AST, function: Function) -> int:
    if isinstance(node, ast.comprehension):
        node = node.target
    return getattr(node, "lineno", function.lineno)


def _text(node: ast.AST | None) -> str:
    text = "nothing" if node is None else ast.unparse(node).strip()
    return text if len(text) <= 100 else f"{text[:97]}..."


def _changes(owner: ast.AST, field: str, old: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a slot instead."""
    if isinstance(old, ast.stmt):
        yield from _statements(old)
    elif isinstance(old, ast.expr):
        if field == "test" and not isinstance(owner, ast.Assert):
            yield _at(ast.UnaryOp(ast.Not(), old), old)
        yield from _expressions(owner, field, old)
    elif isinstance(old, ast.comprehension):
        for index in range(len(old.ifs)):
            new = copy.deepcopy(old)
            del new.ifs[index]
            yield new


def _statements(old: ast.stmt) -> Iterator[ast.stmt]:
    """Leave out what is no name that would be missing then."""
    if isinstance(old, ast.Expr) and isinstance(old.value, ast.Constant):
        return
    stored = isinstance(old, ast.Assign) and all(
        isinstance(each, ast.Attribute | ast.Subscript) for each in old.targets
    )
    if (
        stored
        or isinstance(old, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue | ast.Break | ast.Delete)
        or (isinstance(old, ast.Return) and old.value is None)
    ):
        yield _at(ast.Pass(), old)


def _expressions(owner: ast.AST, field: str, old: ast.expr) -> Iterator[ast.expr]:
    yield from _operations(old)
    yield from _values(old)
    if field == "slice" and isinstance(owner, ast.Subscript) and isinstance(old, ast.Name | ast.Attribute):
        yield _at(ast.Constant(0), old)


def _operations(old: ast.expr) -> Iterator[ast.expr]:
    match old:
        case ast.Compare(ops=ops):
            for index, each in enumerate(ops):
                for kind in _COMPARED[type(each)]:
                    new = copy.deepcopy(old)
                    new.ops[index] = kind()
                    yield new
        case ast.BoolOp(values=values):
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else _at(ast.BoolOp(old.op, rest), old)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield old.operand
        case ast.BinOp() if not _is_union(old) and type(old.op) in _CALCULATED:
            yield _at(ast.BinOp(old.left, _CALCULATED[type(old.op)](), old.right), old)


def _values(old: ast.expr) -> Iterator[ast.expr]:
    match old:
        case ast.Constant(value=bool() as value):
            yield _at(ast.Constant(not value), old)
        case ast.Constant(value=int() as number):
            yield _at(ast.Constant(number + 1), old)
        case ast.Name(id=name) if name in _NAMES:
            yield _at(ast.Name(_NAMES[name], ast.Load()), old)
        case ast.Slice(lower=lower, upper=upper) if lower is not None or upper is not None:
            yield _at(ast.Slice(None, None, old.step), old)
        case ast.Call(keywords=keywords) if keywords:
            for index, word in enumerate(keywords):
                if word.arg not in {None, "strict"}:  # the lengths that zip() compares are equal
                    rest_words = [*keywords[:index], *keywords[index + 1 :]]
                    yield _at(ast.Call(old.func, old.args, rest_words), old)
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            yield from _without_one(old, elements)


def _without_one(old: ast.Tuple | ast.List | ast.Set, elements: list[ast.expr]) -> Iterator[ast.expr]:
    """Leave out an item that is a whole sequence, or one of a set."""
    for index, each in enumerate(elements):
        if len(elements) > 1 and (isinstance(each, ast.Starred) or isinstance(old, ast.Set)):
            new = copy.deepcopy(old)
            del new.elts[index]
            yield new


def _is_union(old: ast.BinOp) -> bool:
    """Return whether it is a type `X | None` and no calculation."""
    return isinstance(old.op, ast.BitOr) and isinstance(old.right, ast.Constant) and old.right.value is None


def _at(new: _Node, old: ast.AST) -> _Node:
    return ast.fix_missing_locations(ast.copy_location(new, old))

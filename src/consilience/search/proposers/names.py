"""Names: which a piece of a program binds and reads, so that few edits leave one without a value.

Rules:
    1. By syntax alone, within one function or the module; what is not plain is left to the trial to find out.
    2. A binding counts where it has surely been run: before the place, in a block around it.
    3. A nested function, class or lambda has its own names and binds none here.

Data flow: Source nodes -> names bound and read -> `statements` and `expressions` leave out what must fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from consilience.search.proposers.syntax import Source

_BINDING = cst.Assign | cst.For | cst.CompFor | cst.AnnAssign | cst.NamedExpr | cst.AsName
_NESTED = cst.FunctionDef | cst.ClassDef | cst.Lambda
_OPENED = cst.Subscript | cst.Attribute
_WALKING = frozenset({"enumerate", "len", "list", "sorted", "reversed", "set", "sum", "tuple", "zip"})


def bound_names(source: Source, node: cst.CSTNode) -> set[str]:
    """Return the names that are given a value in a piece of a program; `+=` and comprehensions give none."""
    found = (one for one in _below(source, node) if not isinstance(one, cst.CompFor))
    return {name for one in found for name in _bound_by(one)}


def read_names(source: Source, node: cst.CSTNode) -> set[str]:
    """Return the names that are read or changed in a piece of a program."""
    targets = {id(target) for one in _below(source, node) for target in _target_nodes(one)}
    return {one.value for one in _below(source, node) if isinstance(one, cst.Name) and id(one) not in targets}


def owed_by(source: Source, node: cst.CSTNode) -> set[str]:
    """Return the names that have their first value from this statement and are used outside it."""
    first = bound_names(source, node) - set(names_known_at(source, node))
    if not first:
        return first
    elsewhere = (one for one in _everything(source, _scope_of(source, node), node) if isinstance(one, cst.Name))
    return first & {one.value for one in elsewhere}


def names_known_at(source: Source, place: cst.CSTNode) -> list[str]:
    """Return the parameters of the function around a place and the variables that have a value there, sorted."""
    before, scope = source.span(place)[0], _scope_of(source, place)
    around = {id(above) for above in source.ancestors(place)}
    bound = (
        name
        for node in _below(source, scope.body if isinstance(scope, cst.FunctionDef) else scope)
        if isinstance(node, _BINDING) and _bound_at(source, node) <= before and id(_home(source, node)) in around
        for name in _bound_by(node)
    )
    return sorted({*_parameters_of(scope), *bound} - {"_"})


def uses_of(source: Source, function: cst.FunctionDef) -> dict[str, str]:
    """Tell for each name whether it is ever opened (indexed, iterated over, asked for an attribute) or an index."""
    uses: dict[str, str] = {}
    for node in _below(source, function.body):
        use = _use(source, node) if isinstance(node, cst.Name) else ""
        if use and isinstance(node, cst.Name):
            uses.setdefault(node.value, use)
    return uses


def _use(source: Source, name: cst.Name) -> str:
    above = source.parent(name)
    if isinstance(above, _OPENED) and above.value is name:
        return "opened"
    if isinstance(above, cst.For | cst.CompFor) and above.iter is name:
        return "opened"
    if isinstance(above, cst.Index | cst.Slice):
        return "index"
    call = source.parent(above) if isinstance(above, cst.Arg) else None
    walks = isinstance(call, cst.Call) and isinstance(call.func, cst.Name) and call.func.value in _WALKING
    return "opened" if walks else ""


def _below(source: Source, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield a node and all below it, without what nested functions and classes hold."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(child for child in source.children(one) if not isinstance(child, _NESTED))


def _everything(source: Source, node: cst.CSTNode, but: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield a node and all below it, nested functions too, but for one part."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(child for child in source.children(one) if child is not but)


def _scope_of(source: Source, node: cst.CSTNode) -> cst.CSTNode:
    """Return the function or class around a node, else the module."""
    above = node
    for above in source.ancestors(node):
        if isinstance(above, _NESTED):
            return above
    return above


def _parameters_of(scope: cst.CSTNode) -> list[str]:
    if not isinstance(scope, cst.FunctionDef):
        return []
    parameters = (*scope.params.posonly_params, *scope.params.params, *scope.params.kwonly_params)
    return [parameter.name.value for parameter in parameters]


def _bound_at(source: Source, node: _BINDING) -> int:
    """Return the byte from which on the names of a binding have their values."""
    return source.span(node.iter if isinstance(node, cst.For) else node)[1]


def _home(source: Source, node: _BINDING) -> cst.CSTNode | None:
    """Return the part of a program outside which a binding may never have been run."""
    if isinstance(node, cst.For):
        return node
    blocks = cst.BaseSuite | cst.Module | cst.BaseComp
    return next((above for above in source.ancestors(node) if isinstance(above, blocks)), None)


def _bound_by(node: cst.CSTNode) -> list[str]:
    return [target.value for target in _target_nodes(node)]


def _target_nodes(node: cst.CSTNode) -> list[cst.Name]:
    if isinstance(node, cst.Assign):
        return [name for one in node.targets for name in _plain(one.target)]
    if isinstance(node, cst.For | cst.CompFor | cst.NamedExpr) or (isinstance(node, cst.AnnAssign) and node.value):
        return _plain(node.target)
    return _plain(node.name) if isinstance(node, cst.AsName) else []


def _plain(target: cst.BaseExpression) -> list[cst.Name]:
    """Return the names in a target, through tuples and lists."""
    if isinstance(target, cst.Name):
        return [target]
    if isinstance(target, cst.Tuple | cst.List):
        return [name for element in target.elements for name in _plain(element.value)]
    return []

"""Raw tables -> typed structs, with errors a person can act on.

Rules:
    1. Unknown keys, wrong types and wrong words are errors; nothing is coerced but integer to number.
    2. Each error names the dotted key, what was found there and what may stand there.

Data flow: tomllib's dicts -> msgspec.convert -> a frozen struct, or a ProblemError.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from consilience.core.errors import ProblemError
from consilience.problems.faults import did_you_mean, one_of, show

T = TypeVar("T")

_AT = re.compile(r" - at `\$(?P<path>.*)`$")
_SEGMENT = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def decode(raw: Any, type_: type[T], file: str, prefix: str = "") -> T:
    """Convert a raw table to a struct type.

    Args:
        raw: what the file holds.
        type_: a msgspec struct that forbids unknown fields.
        file: the file's name, for the error.
        prefix: dotted key of `raw` within the file.

    Raises:
        ProblemError: an unknown, missing or ill-typed key.
    """
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise _explain(str(error), raw, inspect.type_info(type_), (file, prefix)) from None


def _explain(message: str, raw: Any, info: inspect.Type, where: tuple[str, str]) -> ProblemError:
    at = _AT.search(message)
    path = at["path"] if at else ""
    message = message[: at.start()] if at else message
    path = _named(path, raw)
    value, expected = _walk(raw, info, path)
    file, prefix = where
    key = ".".join(part for part in (prefix, path.removeprefix(".")) if part)
    fields = _field_names(expected)
    if name := re.fullmatch(r"Object contains unknown field `(.*)`", message):
        hint = did_you_mean(name[1], fields) or f"remove it; keys here are {', '.join(fields)}"
        return ProblemError(file, _join(key, name[1]), found="an unknown key", expected=one_of(fields), hint=hint)
    if name := re.fullmatch(r"Object missing required field `(.*)`", message):
        hint = f"add {name[1]} = ... " + (f"under [{key}]" if key else "at the top of the file")
        return ProblemError(file, _join(key, name[1]), found="nothing", expected="a value", hint=hint)
    if choices := _choices(expected):
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        return ProblemError(file, key, found=show(value), expected=one_of(choices), hint=hint)
    return ProblemError(file, key, found=show(value), expected=_expected_words(message))


def _named(path: str, raw: Any) -> str:
    """Return msgspec's path with the name of the value that should be text: it says `[...]` for any of a table."""
    table = path.removesuffix("[...]")
    if table == path:
        return path
    for name in table.removeprefix(".").split("."):
        raw = raw.get(name) if isinstance(raw, dict) else None
    misfits = [name for name, value in raw.items() if not isinstance(value, str)] if isinstance(raw, dict) else []
    return f"{table}.{misfits[0]}" if misfits else path


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _walk(raw: Any, info: inspect.Type, path: str) -> tuple[Any, inspect.Type]:
    """Follow msgspec's path to the value it complains of and the type it wanted there."""
    for segment in _SEGMENT.finditer(path):
        if segment["name"]:
            raw = raw.get(segment["name"]) if isinstance(raw, dict) else None
            info = _field_type(info, segment["name"])
        elif segment["index"] != "..." and isinstance(raw, list):
            raw = raw[int(segment["index"])]
            info = info.item_type if isinstance(info, inspect.VarTupleType) else info
    return raw, info


def _struct(info: inspect.Type) -> inspect.StructType | None:
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    return next((option for option in options if isinstance(option, inspect.StructType)), None)


def _field_type(info: inspect.Type, name: str) -> inspect.Type:
    struct = _struct(info)
    fields = struct.fields if struct else ()
    return next((field.type for field in fields if field.encode_name == name), info)


def _field_names(info: inspect.Type) -> tuple[str, ...]:
    struct = _struct(info)
    return tuple(field.encode_name for field in struct.fields) if struct else ()


def _choices(info: inspect.Type) -> tuple[str, ...]:
    return tuple(str(value) for value in info.values) if isinstance(info, inspect.LiteralType) else ()


def _expected_words(message: str) -> str:
    wanted = re.match(r"Expected `([^`]*)`", message)
    if not wanted:
        return message
    names = [name for name in wanted[1].split(" | ") if name != "null"]
    return " or ".join(_WORDS.get(name, name) for name in names)

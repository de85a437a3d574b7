"""Writes docs/events.md and docs/cli.md from the code, so that they cannot go stale.

    python scripts/write_references.py           write them
    python scripts/write_references.py --check   fail when they differ from the code

Rules:
    1. `events_page` and `cli_page` are pure but for the golden journal, from which the example is read.
    2. What a program cannot say (the byte format in words) stands in the heads below, once.

Data flow: journal.kinds, core.bodies, the command, tests/golden -> Markdown -> docs/.
"""

from __future__ import annotations

import sqlite3
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from consilience.interfaces.cli.main import consilience
from consilience.journal.kinds import KINDS, Kind

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "golden" / "v1" / "journal.db"
EXAMPLE_KIND = "run.ended"  # a short one
WIDTH = 110

EVENTS_HEAD = """# Events

Written by `scripts/write_references.py` from the code; do not edit.

Everything that a node knows is folded from these. An event is signed bytes: a payload, its id and its signature.

## The bytes

**Payload.** RFC 8785 (JCS) JSON with exactly these fields:

| field | holds |
|---|---|
| `v` | 1, the version of this envelope |
| `hive` | random id of the hive, 32 hex digits |
| `author` | the identity's first `did:key`, for life |
| `feed` | random id of the feed, 32 hex digits: one for each hive, locked writer and device |
| `seq` | the event's number in its feed, from 0 |
| `prev` | id of the feed's event before; null at seq 0 |
| `after` | ids of heads of other feeds that it builds on, sorted |
| `at` | the author's clock in whole milliseconds since 1970: shown, never used to order |
| `kind` | one of the kinds below |
| `body` | what happened |

Numbers are finite; integers stay within 2^53; money is whole micro-dollars written as a decimal text.

**Id.** Lower-case hex SHA-256 of the payload bytes. They are stored and sent as they were signed; nobody serialises
them again to check them.

**Signature.** A detached JWS (RFC 7515, RFC 7797 with `b64: false`) with ES256K (RFC 8812), low-s, 64 bytes R || S:

```
jws           = BASE64URL(header) ".." BASE64URL(signature)
header        = {"alg":"ES256K","b64":false,"crit":["b64"],"kid":"did:key:zQ3s...#zQ3s..."}     in JCS form
signing input = BASE64URL(header) "." payload
```

Base64url has no padding, and each signature has one spelling: anything else is refused. The public key is in the
DID that `kid` begins with (multicodec 0xe7, base58btc), so a reader needs no resolver. Any JOSE library that knows
ES256K and `b64: false` can check an event; `consilience show EVENT --jws` prints all that it needs.

**Keys.** `author` is the identity's first DID, for life. `kid` names the key in force: the DID URL of that key's own
`did:key`, which is the author's until the first `key.rotated`. Which key may sign which place of a feed follows from
the identity's events about keys alone, never from a clock: a retired key signs a feed as far as its rotation `closes`
it, the key after it what lies beyond. Those events are in the identity's own hive, whose id is the first 32 hex digits
of SHA-256("consilience identity " + DID), and come before what they authorise. A proof or consent in a body is a
detached JWS over a *statement*: canonical JSON whose field `statement` names its type (`consilience.rotation.v1`,
`.certificate.v1`, `.consent.v1`, `.release.v1`), with every field of the body but the proofs, and the identity. A
witness key's proof is by EdDSA (RFC 8037).

**Versions.** A body of a later version carries `version_of_body`; an upcaster brings older ones up. Kinds and versions
that a reader does not know are kept, verified, and folded by no view. A released field keeps its name and meaning.

**An example**, from the golden journal under `tests/golden/`:

```
{example}
```

## The kinds

*Rests on*: when that event is withdrawn, so is this one. *Mentions*: shown beside it, no more. *Blob*: bytes kept
apart under their SHA-256; "" where there are none. Every field is written, also where it has its default.
"""
STRUCTURES_HEAD = "\n## Structures inside bodies\n"
CLI_HEAD = """# The command

Written by `scripts/write_references.py` from the code; do not edit.

stdout is data, stderr is progress. Every command has `--json`: one envelope `{"v": 1, "data": ...}`, or
`{"v": 1, "error": {"kind", "message", "hint"}}`; `run --json` prints JSON Lines: `launch`, then `trial`, `verdict`
and `phase`, then `done`.

| exit code | meaning |
|---|---|
| 0 | done (a spent budget is done) |
| 1 | failed |
| 2 | usage: the command, its arguments or the problem's files are wrong |
| 3 | verification failed; a re-run differs beyond the noise |
| 4 | environment: isolation, key, journal lock or format |
| 130 | interrupted; the same command resumes |
"""

_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}


def events_page() -> str:
    """Return docs/events.md."""
    structures: dict[str, type[msgspec.Struct]] = {}
    kinds = "".join(_section(f"### {kind.name}", kind.body, structures, kind) for kind in KINDS)
    inside = ""
    done: set[str] = set()
    while waiting := sorted(structures.keys() - done):
        done.add(waiting[0])
        inside += _section(f"### {waiting[0]}", structures[waiting[0]], structures)
    return EVENTS_HEAD.replace("{example}", _example()) + kinds + STRUCTURES_HEAD + inside


def _example() -> str:
    connection = sqlite3.connect(f"file:{GOLDEN}?mode=ro&immutable=1", uri=True)
    try:
        query = "SELECT id, payload, jws FROM event WHERE kind = ? ORDER BY position LIMIT 1"
        name, payload, jws = connection.execute(query, (EXAMPLE_KIND,)).fetchone()
    finally:
        connection.close()
    return f"payload  {payload.decode()}\nid       {name}\njws      {jws}"


def _section(title: str, body: type[typing.Any], structures: dict[str, type], kind: Kind | None = None) -> str:
    summary = (body.__doc__ or "").strip().splitlines()[0]
    result = ["", "A result: it can be excised, and falls with what it rests on."] if kind and kind.result else []
    lines = [f"\n{title}\n", summary, *_notes(body), *result, "", "| field | holds | |", "|---|---|---|"]
    for field in msgspec.structs.fields(body):
        held = _words(field.type, structures)
        lines.append(f"| `{field.name}` | {held} | {_role(kind, field.name)} |")
    return "\n".join(lines) + "\n"


def _notes(body: type[typing.Any]) -> Iterator[str]:
    """Yield the rest of the docstring; a list of attributes becomes a list."""
    for line in (body.__doc__ or "").strip().splitlines()[1:]:
        text = line.strip()
        if text == "Attributes:":
            continue
        name, colon, rest = text.partition(": ")
        yield f"- `{name}`: {rest}" if colon and name.isidentifier() else text


def _role(kind: Kind | None, name: str) -> str:
    if kind is None:
        return ""
    roles = (("rests on", kind.rests_on), ("mentions", kind.mentions), ("blob", kind.blobs))
    return ", ".join(word for word, names in roles if name in names)


def _words(kind: typing.Any, structures: dict[str, type]) -> str:
    """Say a type in words, and note the structures that it names."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part, structures) for part in inner)
    if origin is tuple:
        return f"list of {_words(inner[0], structures)}"
    if origin is dict:
        return f"{_words(inner[1], structures)} by name"
    structures[kind.__name__] = kind
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def cli_page() -> str:
    """Return docs/cli.md."""
    context = click.Context(consilience, info_name="consilience", **consilience.context_settings)
    pages = [CLI_HEAD]
    for name in consilience.list_commands(context):
        command = consilience.get_command(context, name)
        if command is not None:
            widths = {"max_content_width": WIDTH, "terminal_width": WIDTH}
            below = click.Context(command, info_name=name, parent=context, **widths)  # type: ignore[arg-type]
            pages.append(f"\n## {name}\n\n```\n{command.get_help(below)}\n```\n")
            for verb, inner in sorted(command.commands.items()) if isinstance(command, click.Group) else ():
                deeper = click.Context(inner, info_name=verb, parent=below, **widths)  # type: ignore[arg-type]
                pages.append(f"\n### {name} {verb}\n\n```\n{inner.get_help(deeper)}\n```\n")
    return "".join(pages)


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for name, text in (("events.md", events_page()), ("cli.md", cli_page())):
        path = DOCS / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        sys.stderr.write(f"{', '.join(stale)} differ from the code: python scripts/write_references.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())

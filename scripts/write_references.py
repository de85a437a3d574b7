"""Writes docs/events.md and docs/cli.md from the code, so that they cannot go stale.

python scripts/write_references.py           write them
python scripts/write_references.py --check   fail when they differ from the code
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from consilience.interfaces.cli.main import consilience
from consilience.journal.kinds import KINDS, Kind

DOCS = Path(__file__).resolve().parents[1] / "docs"
EVENTS_HEAD = """# Events

Written by `scripts/write_references.py` from `consilience.journal.kinds`; do not edit.

An event is signed bytes. The payload is RFC 8785 (JCS) JSON:

```
{"after", "at", "author", "body", "feed", "hive", "kind", "prev", "seq", "v": 1}
```

Its id is the lower-case hex SHA-256 of these bytes. The signature is a detached JWS (RFC 7797, `b64: false`) with
ES256K (RFC 8812, low-s): `BASE64URL(header)..BASE64URL(R || S)`, header `{"alg": "ES256K", "b64": false,
"crit": ["b64"], "kid": "did:key:...#..."}`, signing input `BASE64URL(header) || "." || payload`. `prev` is the id of
the feed's event before (null at seq 0), `after` are heads of other feeds that it builds on, `at` is the author's
clock in milliseconds: shown, never used to order.

*Rests on*: when that event is withdrawn, so is this one. *Mentions*: shown beside it. *Blobs*: bytes kept apart
under their SHA-256. A body of a later version carries `version_of_body`; kinds and versions that a reader does not
know are kept, verified, and folded by no view.
"""
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
| 3 | verification failed |
| 4 | environment: isolation, key, journal lock or format |
| 130 | interrupted; the same command resumes |
"""


def events_page() -> str:
    """Return docs/events.md."""
    return EVENTS_HEAD + "".join(_kind(kind) for kind in KINDS)


def _kind(kind: Kind) -> str:
    lines = [
        f"\n## {kind.name}\n",
        (kind.body.__doc__ or "").strip().splitlines()[0],
        "\n| field | type | |",
        "|---|---|---|",
    ]
    for field in msgspec.structs.fields(kind.body):
        roles = [
            word
            for word, names in (("rests on", kind.rests_on), ("mentions", kind.mentions), ("blob", kind.blobs))
            if field.name in names
        ]
        lines.append(f"| `{field.name}` | `{_type(field.type)}` | {', '.join(roles)} |")
    return "\n".join(lines) + "\n"


def _type(kind: object) -> str:
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    for prefix in ("consilience.core.", "typing.", "hypothesis.", "outcome.", "study.", "bodies.", "ports."):
        text = text.replace(prefix, "")
    return text.replace("|", "or")


def cli_page() -> str:
    """Return docs/cli.md."""
    context = click.Context(consilience, info_name="consilience")
    pages = [CLI_HEAD]
    for name in consilience.list_commands(context):
        command = consilience.get_command(context, name)
        if command is not None:
            below = click.Context(command, info_name=f"consilience {name}", max_content_width=110, terminal_width=110)
            pages.append(f"\n## {name}\n\n```\n{command.get_help(below)}\n```\n")
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

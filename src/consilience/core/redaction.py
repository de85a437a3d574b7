"""Redaction: secrets are taken out of texts before anything is stored, and a mark stays that says what went.

Rules:
    1. Only texts are redacted. Artifacts and specifications must stay equal to the byte; there `finds` tells.
    2. Redacting twice is redacting once, and no known value is left, whatever stands around it.
    3. Every pattern is linear: bounded or possessive repeats behind a literal, never a repeat inside a repeat.
    4. Shapes are guesses, known values are not: what nobody told us of and has no known shape stays.

Data flow: logs, feedback, failures, reasons, imported texts -> `ShapeRedactor` -> journal.

Sources: the documented forms of credentials of AWS, Google, GitHub, GitLab, Slack, Stripe, npm, PyPI and Hugging
Face; RFC 7519 (JWT), RFC 6750 (bearer tokens), RFC 7468 (PEM), RFC 3986 section 3.2.1 (userinfo).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

LEAST_KNOWN = 6  # characters; hiding shorter values would blot out ordinary words
_CUT = "…"  # what `core.untrusted.cap` leaves where it cut
_BEFORE = r"(?<![A-Za-z0-9_-])"
_AFTER = r"(?![A-Za-z0-9_-])"
_VALUE = r"""(?:"(?:[^"\\\n]|\\.)++"|'(?:[^'\\\n]|\\.)++'|["']?[^\s"'`<>]++)"""
_SETS = r"""[\\"']{0,4}\s{0,4}(?::=|=>|=|:)\s{0,4}\\{0,2}"""
_API_KEYS = (
    r"gh[oprsu]_[A-Za-z0-9]{30,}+",
    r"github_pat_[A-Za-z0-9_]{22,}+",
    r"glpat-[A-Za-z0-9_-]{20,}+",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}+",
    r"hf_[A-Za-z0-9]{30,}+",
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}+",
    r"npm_[A-Za-z0-9]{36,}+",
    r"pypi-AgE[A-Za-z0-9_-]{40,}+",
    r"sk-(?=[A-Za-z_-]{0,64}+[0-9])[A-Za-z0-9_-]{20,}+",
)
_CLOUD_KEYS = (rf"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{{16}}{_AFTER}", rf"AIza[A-Za-z0-9_-]{{35}}{_AFTER}")
_SECRET_WORDS = r"(?:pass(?:word|wd|phrase)|passwd|pwd|secret)"  # noqa: S105  words, not a password
_KEY_WORDS = r"(?:token|api[_-]?key|(?:access|account|private|secret)[_-]?key|credentials?)"

# Each rule: the kind that the mark names, and what to hide; where a pattern has a group, only the group is hidden.
# The words, where there are any, are looked for first: one of them must be there, in lower case.
_RULES: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("api-key", re.compile(_BEFORE + f"(?:{'|'.join(_API_KEYS)})"), ()),
    ("cloud-key", re.compile(_BEFORE + f"(?:{'|'.join(_CLOUD_KEYS)})"), ()),
    ("jwt", re.compile(_BEFORE + r"eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}+", re.ASCII), ("eyj",)),
    (
        "bearer",
        re.compile(
            r"\b(?:bearer|basic)[ \t]{1,8}((?=[^\s0-9=]{0,64}+[0-9=])[\w.~+/=-]{12,}+)", re.IGNORECASE | re.ASCII
        ),
        ("bearer", "basic"),
    ),
    (
        "assigned",
        re.compile(rf"(?:{_SECRET_WORDS}{_SETS}|--{_SECRET_WORDS}[ \t]{{1,4}})({_VALUE})", re.IGNORECASE),
        ("pass", "pwd", "secret"),
    ),
    (
        "assigned",
        re.compile(rf"(?:{_KEY_WORDS}{_SETS}|--{_KEY_WORDS}[ \t]{{1,4}})(?=\S{{6}})({_VALUE})", re.IGNORECASE),
        ("token", "key", "credential"),
    ),
    ("login", re.compile(r"""://([^\s/@:"']{0,256}+:[^\s/@"']{1,256}+)@"""), ("://",)),
)
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_KINDS = ("known", "private-key", *dict.fromkeys(kind for kind, _, _ in _RULES))
_MARK = re.compile(rf"(?:\[redacted: (?:{'|'.join(_KINDS)})\])+")
_MARKS = tuple(f"[redacted: {kind}]" for kind in _KINDS)

Span = tuple[int, int, str]


class ShapeRedactor:
    """Hides secrets by their shape, and known values wherever they are.

    Args:
        known: values that must never be stored: passphrases, secrets of the environment. Short ones are passed over.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        spellings = {spelling for value in known for spelling in _spellings(value.strip())}
        self._known = sorted(filter(_can_be_hidden, spellings), key=lambda value: (-len(value), value))

    def text(self, text: str) -> str:
        """Return the text with every secret replaced by ``[redacted: KIND]``."""
        while True:  # ends: each round hides at least one character that was no part of a mark
            spans = self._spans(text)
            if not spans:
                return text
            text = _hide(text, spans)

    def data(self, data: bytes) -> bytes:
        """Redact bytes that are mostly text; bytes that are no UTF-8 stay as they are."""
        text = data.decode(errors="surrogateescape")
        hidden = self.text(text)
        return data if hidden == text else hidden.encode(errors="surrogateescape")

    def value(self, value: Any) -> Any:
        """Redact every text in a JSON-like value, names of fields included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def finds(self, text: str) -> tuple[str, ...]:
        """Return the kinds of secrets in a text that must not be changed."""
        return tuple(dict.fromkeys(kind for _, _, kind in self._spans(text)))

    def _spans(self, text: str) -> list[Span]:
        """Return what to hide, in order and apart; known values may reach into marks, shapes may not."""
        found = list(self._known_spans(text))
        start = 0
        for mark in _MARK.finditer(text):
            found += _shapes(text, start, mark.start())
            start = mark.end()
        found += _shapes(text, start, len(text))
        return _merged(found, text) if found else []

    def _known_spans(self, text: str) -> Iterator[Span]:
        length = len(text.rstrip(_CUT))
        for value in self._known:
            yield from _cut_ends(text, length, value)
            start = text.find(value)
            while start >= 0:
                yield start, start + len(value), "known"
                start = text.find(value, start + len(value))


def _cut_ends(text: str, length: int, value: str) -> Iterator[Span]:
    """Find what a cap left of a known value at the start of a text, or at its end."""
    for size in range(len(value) - 1, LEAST_KNOWN - 1, -1):
        if text.startswith(value[-size:]) and _can_be_hidden(value[-size:]):
            yield 0, size, "known"
        if text.endswith(value[:size], 0, length) and _can_be_hidden(value[:size]):
            yield length - size, length, "known"


def _spellings(value: str) -> tuple[str, ...]:
    """Return a value as logs show it: as it is, in a URL, in JSON."""
    return value, quote(value, safe=""), json.dumps(value)[1:-1]


def _can_be_hidden(value: str) -> bool:
    """Tell whether a known value is long enough, and no part of the marks themselves."""
    return len(value) >= LEAST_KNOWN and not any(value in mark for mark in _MARKS)


def _shapes(text: str, start: int, end: int) -> list[Span]:
    """Find what looks like a secret between two places."""
    part = text[start:end]
    if not part:
        return []
    lowered = part.lower()
    found = [(start + one, start + other, "private-key") for one, other in _private_keys(part)]
    for kind, pattern, words in _RULES:
        if not words or any(word in lowered for word in words):
            found += [(start + m.start(m.re.groups), start + m.end(m.re.groups), kind) for m in pattern.finditer(part)]
    return found


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Find blocks of private keys; one without an end goes on to the end of the text."""
    begin = _PEM_BEGIN.search(text)
    while begin:
        end = _PEM_END.search(text, begin.end())
        yield begin.start(), end.end() if end else len(text)
        begin = _PEM_BEGIN.search(text, end.end()) if end else None


def _merged(spans: list[Span], text: str) -> list[Span]:
    """Join spans that touch each other; marks that they touch become part of them."""
    marks = [(mark.start(), mark.end(), "") for mark in _MARK.finditer(text)]
    merged: list[Span] = []
    for start, end, kind in sorted([*spans, *marks]):
        if merged and start < merged[-1][1]:
            before = merged.pop()
            merged.append((before[0], max(end, before[1]), before[2] or kind))
        else:
            merged.append((start, end, kind))
    return [span for span in merged if span[2]]


def _hide(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    place = 0
    for start, end, kind in spans:
        parts += [text[place:start], f"[redacted: {kind}]"]
        place = end
    return "".join([*parts, text[place:]])

"""Secrets of real shapes are hidden; what only looks like one is left alone; and it takes linear time."""

import base64
import json
import random
import time

import pytest

from consilience.core.canonical import sha256_hex
from consilience.core.redaction import ShapeRedactor

CHANCE = random.Random(5)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def made_up(count: int, alphabet: str = LETTERS) -> str:
    """Return characters that are no secret of anybody: they are drawn here."""
    return "".join(CHANCE.choice(alphabet) for _ in range(count))


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


JWT = f"{encoded({'alg': 'HS256'})}.{encoded({'sub': 'somebody'})}.{made_up(43)}"
PEM_BODY = "\n".join(made_up(64) for _ in range(6))
SECRETS: dict[str, tuple[str, str]] = {
    "aws": ("cloud-key", "AKIA" + made_up(16, LETTERS[:26])),
    "google": ("cloud-key", "AIza" + made_up(35)),
    "github": ("api-key", "ghp_" + made_up(36)),
    "github, fine-grained": ("api-key", "github_pat_" + made_up(22) + "_" + made_up(59)),
    "gitlab": ("api-key", "glpat-" + made_up(20)),
    "slack": ("api-key", "xoxb-" + made_up(12, "0123456789") + "-" + made_up(24)),
    "hugging face": ("api-key", "hf_" + made_up(34)),
    "stripe": ("api-key", "sk_live_" + made_up(24)),
    "model provider": ("api-key", "sk-" + made_up(20) + "7" + made_up(27)),
    "model provider, by project": ("api-key", "sk-proj-" + made_up(20) + "3_" + made_up(40)),
    "jwt": ("jwt", JWT),
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}", "key {} used", '{{"k": "{}"}}', "<{}>", "a={}\n", "({})", "/{}/", "x:{},y"])
def test_known_shapes_are_hidden(name: str, around: str) -> None:
    kind, secret = SECRETS[name]
    hidden = ShapeRedactor().text(around.format(secret))
    assert secret not in hidden
    assert hidden == around.format(f"[redacted: {kind}]")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("password=hunter2", "password=[redacted: assigned]"),
        ("DB_PASSWORD: 'correct horse battery'", "DB_PASSWORD: [redacted: assigned]"),
        ('{"passwd": "a\\"b c", "n": 1}', '{"passwd": [redacted: assigned], "n": 1}'),
        ("api_key = Zx81aa99qq", "api_key = [redacted: assigned]"),
        ("token: q8dh2kd92kfj", "token: [redacted: assigned]"),
        ("client_secret=>s3cr3tvalue", "client_secret=>[redacted: assigned]"),
        ("tool --password hunter2 --verbose", "tool --password [redacted: assigned] --verbose"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [redacted: bearer]"),
        ("postgres://anna:s3cret@db.example.org/x", "postgres://[redacted: login]@db.example.org/x"),
        ("https://:only@example.org", "https://[redacted: login]@example.org"),
    ],
)
def test_values_that_are_named_secret_are_hidden(text: str, wanted: str) -> None:
    assert ShapeRedactor().text(text) == wanted


def test_a_private_key_is_hidden_with_its_body() -> None:
    block = f"-----BEGIN EC PRIVATE KEY-----\n{PEM_BODY}\n-----END EC PRIVATE KEY-----"
    assert ShapeRedactor().text(f"before\n{block}\nafter") == "before\n[redacted: private-key]\nafter"
    cut = block[:-40]
    assert ShapeRedactor().text(f"before\n{cut}") == "before\n[redacted: private-key]"
    public = f"-----BEGIN PUBLIC KEY-----\n{PEM_BODY}\n-----END PUBLIC KEY-----"
    assert ShapeRedactor().text(public) == public


NEAR_MISSES = [
    sha256_hex(b"a blob"),
    f"event {sha256_hex(b'e')} of feed {sha256_hex(b'f')[:32]}",
    "did:key:zQ3shokFTS3brHcDQrn82RUDfCRESWL1ZdCEJwekUDPQiYBme",
    f"{encoded({'alg': 'ES256K', 'b64': False})}..{made_up(86)}",
    base64.b64encode(random.Random(1).randbytes(3000)).decode(),
    base64.urlsafe_b64encode(random.Random(2).randbytes(3000)).decode(),
    random.Random(3).randbytes(500).hex(),
    "3f0c1a7e-95d2-4b8e-8f3a-6a1d2f1c9b10",
    "the tokenizer made 4096 tokens: 12 of them unknown; max_tokens=4096, token_count=7",
    "class SecretaryProblem: pass",
    "for key in keys: pass",
    "a task-based-approach-with-9-steps, disk-usage-of-the-whole-volume",
    "sk-learn-compatible-estimators",
    "http://example.org:8080/path?x=1@2 and mailto:anna@example.org",
    "bearer of responsibilities and basic understanding",
    "KeyError: 'score'",
    "ghp_short and AKIASHORT",
]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert ShapeRedactor().text(text) == text


def test_known_values_are_hidden_in_every_spelling() -> None:
    value = 'p&ss "wörd"/1'
    spelt = [value, json.dumps(value)[1:-1], "p%26ss%20%22w%C3%B6rd%22%2F1"]
    for spelling in spelt:
        assert ShapeRedactor([value]).text(f"x{spelling}y") == "x[redacted: known]y"


def test_what_a_cap_left_of_a_known_value_is_hidden() -> None:
    known = ShapeRedactor(["abcdefghijklmnop"])
    assert known.text("hijklmnop rest") == "[redacted: known] rest"
    assert known.text("rest abcdefgh…") == "rest [redacted: known]…"
    assert known.text("mnop rest") == "mnop rest"


def test_short_and_unhidable_values_are_passed_over() -> None:
    text = "the first redacted test"
    assert ShapeRedactor(["", "the", "redacted", " first "[:3]]).text(text) == text


def test_bytes_that_are_no_text_survive() -> None:
    data = b"\xff\xfe password=x \x00\x80"
    assert ShapeRedactor().data(data) == b"\xff\xfe password=[redacted: assigned] \x00\x80"
    assert ShapeRedactor().data(b"\xff\x00") == b"\xff\x00"


HOSTILE = [
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN " + "A " * 15,
    "password='",
    'password="\\',
    "password=",
    "secret:",
    "--token ",
    "://a:b",
    "://",
    "eyJaaaaaaaaaa.",
    "eyJ",
    "sk-",
    "sk-a",
    "ghp_a",
    "bearer a",
    "bearer ",
    "[redacted: known]",
    "[redacted: ",
    "a" * 50 + "=",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece: str) -> None:
    known = ShapeRedactor(["aaaaaaaaab", "abababab"])

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.process_time()
        known.text(text)
        return time.process_time() - start

    small = min(seconds(30_000) for _ in range(2))
    assert seconds(240_000) < 8 * 4 * max(small, 0.005), "eight times the text took more than 32 times as long"


def test_metrics_reasons_and_fields_are_redacted_in_place() -> None:
    value = {"a": ["password=x1", 3], "b": {"c": None}, "n": 1.5}
    assert ShapeRedactor().value(value) == {"a": ["password=[redacted: assigned]", 3], "b": {"c": None}, "n": 1.5}


def test_what_must_not_change_is_told() -> None:
    assert ShapeRedactor().finds("x = 'password=abc'") == ("assigned",)
    assert ShapeRedactor().finds("x = 1") == ()

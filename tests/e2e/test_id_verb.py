"""`consilience id`, as a user meets it: one key for life, others after it, agents and a controller beside it."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from conftest import Machine, Shell
from joserfc import jws
from joserfc.jwk import ECKey


def key_folder(shell: Shell) -> Path:
    return shell.machine.home / "data" / "consilience"


def secrets_in(folder: Path) -> list[str]:
    documents = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    return [document["private_key"] for document in documents if "private_key" in document]


def test_show_without_a_key_says_how_to_make_one(shell: Shell) -> None:
    code, out, err = shell("id", "show")
    assert code == 4
    assert not out
    assert "mend: consilience id new" in err


@pytest.mark.parametrize(
    "words",
    [
        ("rotate",),
        ("export", "f.json", "--unencrypted"),
        ("export", "f.json", "--public"),
        ("passphrase", "--remove"),
        ("import", "nothing.json"),
        ("revoke", "--self"),
        ("consent", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"),
    ],
    ids=" ".join,
)
def test_without_a_key_each_command_says_so_and_makes_nothing(shell: Shell, words: tuple[str, ...]) -> None:
    code, out, err = shell("id", *words)
    assert code == 4
    assert not out
    assert "there is no key" in err
    assert "consilience id new" in err
    assert not list(key_folder(shell).glob("*"))


def test_new_makes_a_key_once_and_tells_no_secret(shell: Shell) -> None:
    code, out, err = shell("id", "new")
    assert code == 0
    assert "move " in err
    made = shell.data("id", "show")
    assert made["did"] in out
    assert made["peer_id"].startswith("16Uiu2HA")
    assert made["wallet"].startswith("0x")
    assert made["witness"].startswith("did:key:z6Mk")
    assert made["genesis"]
    secrets = secrets_in(key_folder(shell))
    assert len(secrets) == 3
    assert not any(secret in out + err for secret in secrets)
    code, out, err = shell("id", "new", "--json")
    assert code == 4
    assert json.loads(out)["error"]["kind"] == "identity"
    assert shell.data("id", "show")["did"] == made["did"]


def test_a_study_goes_on_after_a_rotation_and_any_event_is_a_jws(shell: Shell, machine: Machine) -> None:
    folder = machine.problem()
    assert shell("run", folder, "--trials", "7")[0] == 0
    first = shell.data("id", "show")
    rotated = shell.data("id", "rotate")
    assert rotated["did"] == first["did"]
    assert rotated["key"] != first["did"]
    assert shell("run", folder, "--trials", "9")[0] == 0
    assert shell("verify", "-p", folder)[0] == 0
    assert shell.data("id", "show")["promise"] == rotated["promise"] != first["promise"]
    last = shell.data("log", "-p", folder, "--tail", "1")[0]
    assert last["author"] == first["did"]
    exported = shell.data("show", last["id"], "--jws", "-p", folder)
    header = json.loads(_unb64(exported["protected"]))
    assert header["kid"] == f"{rotated['key']}#{rotated['key'].removeprefix('did:key:')}"
    key = ECKey.import_key(exported["jwk"])
    registry = jws.JWSRegistry(algorithms=["ES256K"])
    payload = exported["payload"].encode()
    assert jws.deserialize_compact(exported["detached"], key, payload=payload, registry=registry).payload == payload
    flattened = {name: exported[name] for name in ("protected", "payload", "signature")}
    assert jws.deserialize_json(flattened, key, registry=registry).payload == payload
    with pytest.raises(Exception, match="bad_signature"):
        jws.deserialize_compact(exported["detached"], key, payload=payload + b" ", registry=registry)
    code, _, err = shell("show", "ffffffffffff", "--jws", "-p", folder)
    assert code == 2
    assert "no event" in err


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def write_secret(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def test_export_and_import_carry_the_identity_and_never_a_clear_secret(
    shell: Shell, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.data("id", "new")
    shell.data("id", "rotate")
    shown = shell.data("id", "show")
    destination = machine.home / "moved.json"
    code, _, err = shell("id", "export", destination)
    assert code == 2
    assert "--new-passphrase-file" in err
    assert not destination.exists()
    lock = write_secret(machine.home / "lock", "correct horse")
    code, out, err = shell("id", "export", destination, "--new-passphrase-file", lock)
    assert code == 0
    assert stat.S_IMODE(destination.stat().st_mode) == 0o600
    assert not any(secret in destination.read_text() + out + err for secret in secrets_in(key_folder(shell)))
    assert shell("id", "export", destination, "--new-passphrase-file", lock)[0] == 2  # never over another file
    assert shell("id", "import", destination, "--passphrase-file", lock)[0] == 0  # the same key is there already

    monkeypatch.setenv("XDG_DATA_HOME", str(machine.home / "other-data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(machine.home / "other-state"))
    wrong = write_secret(machine.home / "wrong", "wrong")
    assert shell("id", "import", destination, "--passphrase-file", wrong)[0] == 4
    assert shell("id", "show")[0] == 4
    imported = shell.data("id", "import", destination, "--passphrase-file", lock)
    assert (imported["did"], imported["key"], imported["locked"]) == (shown["did"], shown["key"], True)
    there = shell.data("id", "show")
    assert there["genesis"] == shown["genesis"]
    assert there["keys"] == shown["keys"]
    assert there["witness"] != shown["witness"]  # each node has its own, certified by the one identity
    assert [each["purpose"] for each in there["certificates"]] == ["witness", "witness"]
    code, _, err = shell("id", "rotate", "--passphrase-file", lock)
    assert code == 4
    assert "the promised key is not at" in err


def test_an_import_overwrites_no_other_key(shell: Shell, machine: Machine) -> None:
    shell.data("id", "new", "--key", machine.home / "away" / "key.json")
    away = machine.home / "away.json"
    assert shell("id", "export", away, "--unencrypted", "--key", machine.home / "away" / "key.json")[0] == 0
    mine = shell.data("id", "new")
    code, _, err = shell("id", "import", away)
    assert code == 4
    assert "there is another key" in err
    assert shell.data("id", "show")["did"] == mine["did"]


def test_a_changed_history_beside_a_key_is_refused_whole(shell: Shell, machine: Machine) -> None:
    away = machine.home / "away" / "key.json"
    shell.data("id", "new", "--key", away)
    shell.data("id", "rotate", "--key", away)
    file = machine.home / "away.json"
    shell.data("id", "export", file, "--unencrypted", "--key", away)
    document = json.loads(file.read_text())
    for name, events in {
        "cut": document["identity_events"][:1],
        "changed": [[document["identity_events"][0][0].replace("generated", "imported"), *e[1:]] for e in
                    document["identity_events"]],
        "none": 5,
    }.items():  # fmt: skip
        bad = machine.home / f"{name}.json"
        bad.write_text(json.dumps({**document, "identity_events": events}))
        bad.chmod(0o600)
        code, _, err = shell("id", "import", bad)
        assert code == 3, err
        assert "beside the key" in err
        assert not (key_folder(shell) / "key.json").exists()


def test_the_public_card_holds_no_secret(shell: Shell, machine: Machine) -> None:
    shown = shell.data("id", "new")
    card = machine.home / "card.json"
    shell.data("id", "export", card, "--public")
    document = json.loads(card.read_text())
    assert (document["did"], document["witness"]) == (shown["did"], shown["witness"])
    assert len(document["identity_events"]) == 2
    assert not any(secret in card.read_text() for secret in secrets_in(key_folder(shell)))


def test_a_passphrase_from_a_file_or_the_environment(
    shell: Shell, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.data("id", "new")
    lock = write_secret(machine.home / "lock", "correct horse")
    done = shell.data("id", "passphrase", "--new-passphrase-file", lock)
    assert len(done["files"]) == 3
    assert shell.data("id", "show")["locked"]  # needs no passphrase
    code, _, err = shell("id", "rotate")
    assert code == 4
    assert "locked" in err
    lock.chmod(0o644)
    assert "can be read by others" in shell("id", "rotate", "--passphrase-file", lock)[2]
    monkeypatch.setenv("CONSILIENCE_PASSPHRASE", "correct horse")
    shell.data("id", "passphrase", "--remove")
    assert not shell.data("id", "show")["locked"]


def test_an_agent_is_certified_used_and_revoked(shell: Shell, machine: Machine) -> None:
    operator = shell.data("id", "new")["did"]
    agent = machine.home / "agent" / "key.json"
    made = shell.data("id", "certify", "--new", agent, "--name", "worker", "--may", "run")
    folder = machine.problem()
    assert shell("run", folder, "--trials", "7", "--key", agent)[0] == 0
    assert shell.data("log", "-p", folder, "--tail", "1")[0]["author"] == made["key"]
    shell.data("id", "revoke", made["key"], "--reason", "lost", "--journal", folder / ".consilience")
    shown = shell.data("id", "show")["certificates"]
    assert [(each["key"], bool(each["revoked"])) for each in shown if each["purpose"] == "agent"] == [
        (made["key"], True)
    ]
    assert shell("id", "revoke", made["key"])[0] == 2
    assert shell("id", "certify")[0] == 2
    assert shell("id", "revoke")[0] == 2
    assert operator == shell.data("id", "show")["did"]


def saved(shell: Shell, path: Path, *arguments: Any) -> Path:
    code, out, err = shell(*arguments)
    assert code == 0, err
    path.write_text(out)
    return path


def test_a_device_asks_and_the_operator_certifies(shell: Shell, machine: Machine) -> None:
    operator = shell.data("id", "new")["did"]
    laptop = machine.home / "laptop" / "key.json"
    shell.data("id", "new", "--key", laptop)
    asked = saved(shell, machine.home / "request.json", "id", "request", operator, "--purpose", "device",
                  "--name", "laptop", "--may", "run", "--key", laptop)  # fmt: skip
    assert not any(secret in asked.read_text() for secret in secrets_in(machine.home))
    done = shell.data("id", "certify", asked)
    assert done["name"] == "laptop"
    code, _, err = shell("id", "certify", asked)
    assert code == 4
    assert "already" in err
    changed = machine.home / "changed.json"
    changed.write_text(asked.read_text().replace('"run"', '"spend"'))
    assert shell("id", "certify", changed)[0] == 3
    assert shell("id", "certify", asked, "--key", laptop)[0] == 3  # asked somebody else
    changed.write_text("{}")
    assert shell("id", "certify", changed)[0] == 2


def test_a_controller_consents_on_its_own_machine(shell: Shell, machine: Machine) -> None:
    did = shell.data("id", "new")["did"]
    cold = machine.home / "cold" / "key.json"
    owner = shell.data("id", "new", "--key", cold)["did"]
    agreed = saved(shell, machine.home / "consent.json", "id", "consent", did, "--key", cold)
    assert shell.data("id", "controller", "--consent", agreed)["controller"] == owner
    assert shell.data("id", "show")["controller"] == owner
    released = saved(shell, machine.home / "release.json", "id", "consent", did, "--release", "--key", cold)
    assert shell("id", "controller", "--consent", released)[0] == 2
    assert shell("id", "controller")[0] == 2
    assert shell.data("id", "controller", "--release", released)["controller"] == ""
    other = shell.data("id", "new", "--key", machine.home / "third" / "key.json", "--controller-key", cold)
    assert other["controller"] == owner

"""Checkpoints, witnesses and proofs as people use them: one runs a study, another witnesses, a third only has files."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Machine, Shell

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
import time_authority


class Home:
    """One person's machine, in this process."""

    def __init__(self, home: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        home.mkdir(exist_ok=True)
        self.machine = Machine(home)
        self._shell = shell
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        for name, value in self.machine.environment.items():
            if name.startswith(("XDG_", "HOME")):
                self._monkeypatch.setenv(name, value)
        self._monkeypatch.chdir(self.machine.home)
        return self._shell(*arguments)

    def out(self, *arguments: str) -> str:
        code, out, err = self(*arguments)
        assert code == 0, err
        return out


@pytest.fixture
def ada(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Runs a study of ten trials."""
    home = Home(tmp_path / "ada", shell, monkeypatch)
    home.machine.problem()
    home.out("run", "valley", "--trials", "10")
    return home


@pytest.fixture
def bob(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Witnesses."""
    return Home(tmp_path / "bob", shell, monkeypatch)


@pytest.fixture
def eve(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Has nothing but files."""
    return Home(tmp_path / "eve", shell, monkeypatch)


def log_key(home: Home) -> str:
    return str(json.loads(home.out("checkpoint", "-p", "valley", "--json"))["data"]["key"])


def verdict(home: Home) -> str:
    lines = json.loads(home.out("log", "-p", "valley", "--json"))["data"]
    events = lines if isinstance(lines, list) else lines["events"]
    return next(str(event["id"]) for event in events if event["kind"] == "verdict.reached")


def request(home: Home, since: int, file: Path) -> str:
    home.out("checkpoint", "-p", "valley", "--since", str(since), "--out", str(file))
    return str(file)


def witnessed(ada: Home, bob: Home, folder: Path) -> int:
    """Let Bob cosign Ada's log, and Ada keep what he gave; return the size."""
    asked = request(ada, 0, folder / "request")
    reply = bob.out("witness", asked, "--key", log_key(ada), "--json")
    (folder / "reply").write_text(reply)
    (folder / "head").write_text(ada.out("checkpoint", "-p", "valley", "--add", str(folder / "reply")))
    return int(json.loads(reply)["data"]["size"])


def test_an_event_is_proved_to_somebody_who_has_nothing_but_the_files(
    ada: Home, bob: Home, eve: Home, tmp_path: Path
) -> None:
    witnessed(ada, bob, tmp_path)
    proof = tmp_path / "proof.json"
    proof.write_text(ada.out("prove", verdict(ada)[:12], "-p", "valley"))
    shutil.rmtree(ada.machine.home)
    witness = json.loads((tmp_path / "reply").read_text())["data"]
    out = eve.out("verify-proof", str(proof), "--checkpoint", str(tmp_path / "head"), "--witness", witness["key"])
    assert out.count("holds: ") == 4
    assert "certified by" in out
    assert "not checked: when" in out
    assert eve("verify-proof", str(proof), "--witness", witness["operator"])[0] == 0
    assert not (eve.machine.home / "data").exists()


@pytest.mark.parametrize(("old", "new"), [('"index":', '"index":1'), ("verdict", "Verdict"), ("cosig", "cosig")])
def test_a_changed_proof_fails_with_exit_code_3(ada: Home, eve: Home, tmp_path: Path, old: str, new: str) -> None:
    text = ada.out("prove", verdict(ada), "-p", "valley")
    changed = text.replace(old, new, 1) if old in text else text[:-2] + " }\n"
    (tmp_path / "proof.json").write_text(changed)
    code, out, err = eve("verify-proof", str(tmp_path / "proof.json"))
    assert code == 3
    assert out == ""
    assert "mend:" in err


def test_a_proof_against_another_head_than_ones_own_fails(ada: Home, eve: Home, tmp_path: Path) -> None:
    (tmp_path / "head").write_text(ada.out("checkpoint", "-p", "valley"))
    ada.out("run", "valley", "--trials", "14")
    ada.out("checkpoint", "-p", "valley")
    (tmp_path / "proof.json").write_text(ada.out("prove", verdict(ada), "-p", "valley"))
    code, _, err = eve("verify-proof", str(tmp_path / "proof.json"), "--checkpoint", str(tmp_path / "head"))
    assert code == 3
    assert "another head" in err
    size = (tmp_path / "head").read_text().split("\n")[1]
    (tmp_path / "proof.json").write_text(ada.out("prove", verdict(ada), "-p", "valley", "--size", size))
    assert eve("verify-proof", str(tmp_path / "proof.json"), "--checkpoint", str(tmp_path / "head"))[0] == 0


def restored(home: Home, image: Path) -> None:
    """Put a whole machine back: journal, keys, marks and all."""
    shutil.rmtree(home.machine.home)
    shutil.copytree(image, home.machine.home)


def test_a_log_that_goes_on_is_cosigned_and_one_that_forgets_is_refused(ada: Home, bob: Home, tmp_path: Path) -> None:
    ada.out("checkpoint", "-p", "valley")  # so that the witness key is there, and is the same in both lives
    shutil.copytree(ada.machine.home, tmp_path / "image")
    size = witnessed(ada, bob, tmp_path)
    ada.out("run", "valley", "--trials", "14")
    assert bob("witness", request(ada, size, tmp_path / "second"))[0] == 0
    restored(ada, tmp_path / "image")
    ada.out("run", "valley", "--trials", "12")
    code, out, err = bob("witness", request(ada, 0, tmp_path / "third"))
    assert (code, out) == (3, "")
    assert "events are gone" in err


def test_two_trees_of_one_log_are_kept_as_proof(ada: Home, bob: Home, tmp_path: Path) -> None:
    ada.out("checkpoint", "-p", "valley")  # so that the witness key is there, and is the same in both lives
    shutil.copytree(ada.machine.home, tmp_path / "image")
    ada.out("run", "valley", "--trials", "14")
    size = witnessed(ada, bob, tmp_path)
    restored(ada, tmp_path / "image")
    ada.out("run", "valley", "--trials", "20")
    forged = request(ada, size, tmp_path / "forged")
    code, out, err = bob("witness", forged)
    assert code == 3
    assert out == ""
    assert "does not continue" in err
    kept = list((bob.machine.home / "state").rglob("conflict-*.note"))
    assert len(kept) == 2
    assert str(kept[0].parent) in err
    assert bob("witness", str(tmp_path / "request"))[0] == 0


def test_a_cut_journal_does_not_verify_although_its_marks_are_gone(ada: Home, tmp_path: Path) -> None:
    shutil.copytree(ada.machine.home / "valley" / ".consilience", tmp_path / "older")
    ada.out("run", "valley", "--trials", "12")
    ada.out("checkpoint", "-p", "valley")
    shutil.rmtree(ada.machine.home / "valley" / ".consilience")
    shutil.copytree(tmp_path / "older", ada.machine.home / "valley" / ".consilience")
    shutil.rmtree(ada.machine.home / "state" / "consilience" / "feeds")
    code, out, _ = ada("verify", "-p", "valley")
    assert code == 3
    assert "the tail is missing" in out


def test_proofs_hold_after_the_key_was_rotated_and_not_after_the_witness_key_was_revoked(
    ada: Home, eve: Home, tmp_path: Path
) -> None:
    key = log_key(ada)
    ada.out("id", "rotate")
    ada.out("run", "valley", "--trials", "14")
    newest = json.loads(ada.out("log", "-p", "valley", "--json"))["data"][-1]["id"]
    proof = tmp_path / "proof.json"
    proof.write_text(ada.out("prove", newest, "-p", "valley"))
    assert key in eve.out("verify-proof", str(proof))
    ada.out("id", "revoke", key, "--reason", "lost")
    ada.out("run", "valley", "--trials", "15")
    code, _, err = ada("checkpoint", "-p", "valley")
    assert code == 4
    assert "was revoked" in err
    (ada.machine.home / "data" / "consilience" / "witness.json").unlink()
    assert log_key(ada) != key


def test_usage_errors_say_what_to_do(ada: Home, bob: Home, tmp_path: Path) -> None:
    asked = request(ada, 0, tmp_path / "request")
    for arguments, expected in (
        (("witness", asked), "--key did:key:z6Mk"),
        (("witness", str(tmp_path / "absent")), "cannot read"),
        (("verify-proof", str(tmp_path / "absent")), "cannot read"),
        (("checkpoint", "-p", str(tmp_path / "nowhere")), "no journal"),
    ):
        code, _, err = bob(*arguments)
        assert code == 2, arguments
        assert expected in err
    assert ada("prove", "0000000000", "-p", "valley")[0] == 2
    assert ada("checkpoint", "-p", "valley", "--since", "9999")[0] == 2


@pytest.mark.skipif(not time_authority.available(), reason="openssl is not installed")
def test_a_time_stamp_travels_with_the_proof(ada: Home, eve: Home, tmp_path: Path) -> None:
    root = time_authority.make_authority(tmp_path / "authority")
    other = time_authority.make_authority(tmp_path / "other")
    with time_authority.serving(tmp_path / "authority") as url:
        ada.out("checkpoint", "-p", "valley", "--timestamp", url)
    assert ada("verify", "-p", "valley")[0] == 0
    assert ada("gc", "-p", "valley")[0] == 0
    proof = tmp_path / "proof.json"
    proof.write_text(ada.out("prove", verdict(ada), "-p", "valley"))
    assert "by an authority under your root" in eve.out("verify-proof", str(proof), "--tsa-root", str(root))
    assert "who stamped it" in eve.out("verify-proof", str(proof))
    assert eve("verify-proof", str(proof), "--tsa-root", str(other))[0] == 3


def test_a_written_proof_is_not_printed_as_well_and_short_names_are_told(ada: Home, eve: Home, tmp_path: Path) -> None:
    proof = str(tmp_path / "proof.json")
    code, out, err = ada("prove", verdict(ada), "-p", "valley", "--out", proof)
    assert (code, out) == (0, f"written to {proof}\n")
    assert f"consilience verify-proof {proof}" in err
    code, _, err = eve("verify-proof", proof, "--tsa-root", "nowhere.pem")
    assert code == 2
    assert "cannot read nowhere.pem" in err
    code, _, err = ada("prove", "3", "-p", "valley")
    assert code == 2
    assert "too short" in err
    code, _, err = ada("checkpoint", "-p", "valley", "--since", "0", "--out", str(tmp_path / "request"))
    assert code == 0
    assert f"consilience witness {tmp_path / 'request'} --key {log_key(ada)}" in err

"""A user whose journal grew, was emptied, or went away: `compact`, `verify --jobs`, `anew`."""

from pathlib import Path

from conftest import Shell

from consilience.core.errors import EXIT_USAGE, EXIT_VERIFICATION


def run(shell: Shell) -> Path:
    assert shell("run", "valley", "--trials", "8")[0] == 0
    return shell.machine.home / "valley" / ".consilience" / "journal.db"


def test_a_grown_journal_is_compacted_and_holds(shell: Shell) -> None:
    shell.machine.problem()
    path = run(shell)
    snapshots = path.parent / "views"
    kept = sum(file.stat().st_size for file in snapshots.glob("*.db*"))
    (snapshots / "other.db").write_bytes(bytes(3000))
    found = shell.data("compact", "-p", "valley")
    assert found["before"] >= found["after"] + 3000
    assert found["snapshots"] == kept + 3000
    assert not list(snapshots.glob("*.db*"))
    one, two = shell.data("verify", "-p", "valley"), shell.data("verify", "-p", "valley", "--jobs", "2")
    assert one == two
    assert one["events"] > 20
    assert shell("verify", "-p", "valley", "--jobs", "0")[0] == EXIT_USAGE


def test_an_emptied_journal_stops_a_run_until_anew(shell: Shell) -> None:
    shell.machine.problem()
    path = run(shell)
    whole = path.read_bytes()
    path.write_bytes(b"")
    for command in (("run", "valley"), ("verify", "-p", "valley")):
        code, out, err = shell(*command)
        assert code == EXIT_VERIFICATION, command
        assert "this device wrote" in out + err, command
    for log in path.parent.glob("journal.db-*"):
        log.unlink()
    path.write_bytes(whole)
    assert shell("verify", "-p", "valley")[0] == 0, "what was put back is as good as ever"
    path.unlink()
    code, _, err = shell("verify", "-p", "valley")
    assert code == EXIT_VERIFICATION
    assert "consilience anew" in err
    assert shell.data("anew", "-p", "valley") == {"kept": "", "marks": 1}
    run(shell)
    found = shell.data("anew", "-p", "valley")
    assert Path(found["kept"], "journal.db").exists()
    assert shell("verify", "--state", found["kept"])[0] == 0

"""Level `wasm` without running it: what it takes and refuses, and what other systems are told."""

from __future__ import annotations

import errno
import io
import os
import platform
import select
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError, IsolationError
from consilience.core.problem import Limits
from consilience.node.settings import resolve
from consilience.trials.environment import EnvironmentDescription, environment_digest, in_wasm
from consilience.trials.harness import harness_wire, script_arguments
from consilience.trials.sandbox import exits, probe, tools, wasm_canary_script
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.exits import exit_descriptor
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.mends import mend_for
from consilience.trials.sandbox.single import peak_kb
from consilience.trials.sandbox.tools import Tools
from consilience.trials.sandbox.wasm import guest_arguments, guest_folders
from consilience.trials.sandbox.wasm_module import WasmTools, digest_of, runner_environment

PYTHON = "/usr/bin/python3"
INTERPRETER = Interpreter(executable=PYTHON, version="3", readable=("/usr",))
FOUND = WasmTools(python="/python.wasm", wasmtime="50.0.1", folder="/site-packages")


def confinement(*argv: str, **changes: Any) -> Confinement:
    return msgspec.structs.replace(
        Confinement(argv=(PYTHON, *argv), work_dir="/work", scratch="/scratch", limits=Limits()), **changes
    )


def test_the_candidates_command_becomes_the_guests() -> None:
    code = script_arguments("candidate")
    argv = guest_arguments(confinement("-S", "-s", *code), PYTHON)
    assert argv[:4] == ("python", "-S", "-s", "-c")
    assert "os.chdir('/work')" in argv[4]
    assert repr(code[1]) in argv[4]
    assert argv[5:] == ()


def test_a_script_is_given_as_text(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("from __future__ import annotations\nfound = 7\n")
    argv = guest_arguments(confinement("-I", str(file), "a", "b", work_dir=str(tmp_path)), PYTHON)
    assert argv[-2:] == ("a", "b")
    names: dict[str, Any] = {}
    here = Path.cwd()
    try:
        exec(argv[-3], names)
    finally:
        os.chdir(here)
    assert names["found"] == 7


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (confinement("-m", "json"), "cannot run"),
        (confinement("-c", "1", argv=("/bin/true", "x")), "cannot run /bin/true x"),
        (confinement("-c", "1", may_fork=True), "cannot run"),
        (confinement("-c", "1", writable=("/out",)), "/out"),
        (confinement("-c", "1", devices=("/dev/null",)), "no devices"),
        (confinement("-c", "1", own_scratch=("/var/tmp/x",)), "/var/tmp/x as scratch"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_way_out(asked: Confinement, words: str) -> None:
    with pytest.raises(EnvironmentLacksError, match=words) as refused:
        guest_arguments(asked, PYTHON)
    assert "strong or restricted" in refused.value.hint


def test_folders_are_shared_once_and_files_are_not(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("1")
    own = str(tmp_path)
    tmp_path.chmod(0o755)
    assert guest_folders(confinement("-c", "1", work_dir=own, readable=(own, own))) == [own]
    with pytest.raises(EnvironmentLacksError, match=r"data\.csv is a file"):
        guest_folders(confinement("-c", "1", work_dir=own, readable=(str(file),)))
    assert guest_folders(confinement(str(file), work_dir=own, readable=(str(file),))) == [own], "the script is a text"


def test_root_shares_only_what_another_user_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    asked = confinement("-c", "1", work_dir=str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(EnvironmentLacksError, match="another user") as refused:
        guest_folders(asked)
    assert "umask" in refused.value.hint
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert guest_folders(asked) == [str(tmp_path)]


@pytest.mark.parametrize(
    ("found", "lacks"),
    [(WasmTools(), "wasmtime"), (WasmTools(wasmtime="50"), "CPython-WASI"), (FOUND, "")],
)
def test_what_is_missing_is_said(found: WasmTools, lacks: str) -> None:
    assert lacks in found.lacks
    assert bool(found.lacks) == bool(lacks)


def test_a_file_that_is_not_there_is_an_error_with_the_settings_name() -> None:
    with pytest.raises(EnvironmentLacksError, match="cannot read /absent") as refused:
        digest_of(msgspec.structs.replace(FOUND, python="/absent/python.wasm"))
    assert "python_wasm" in refused.value.hint


def test_the_mend_names_the_extra_and_the_setting() -> None:
    mend = mend_for("wasm", Tools())
    assert "consilience[wasm]" in mend
    assert "CONSILIENCE_PYTHON_WASM" in mend
    found = resolve({}, {"CONSILIENCE_PYTHON_WASM": "/my/python.wasm"}, {}, {}, Path("config.toml"))
    assert found.value("python_wasm") == "/my/python.wasm"


def test_the_runner_is_given_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    assert set(runner_environment({})) <= {"WASM_ORDERS", "SYSTEMROOT"}


@pytest.fixture(params=["Darwin", "Windows"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(platform, "system", lambda: request.param)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    return request.param


def test_elsewhere_only_wasm_is_tried(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "inspect_interpreter", lambda _: INTERPRETER)
    found = probe.probe_sandboxes(PYTHON, tools=Tools(bubblewrap=("/usr/bin/bwrap",), landlock_abi=7), every=True)
    assert [report.level for report in found.reports] == ["strong", "wasm"]
    assert elsewhere in found.reports[0].reason
    assert found.reports[0].mend.startswith("Run on Linux")
    assert found.level == "none"
    with pytest.raises(IsolationError) as refused:
        probe.require_level(found, "wasm")
    assert {"Darwin": "consilience[wasm]", "Windows": "WSL 2"}[elsewhere] in refused.value.hint


def test_on_macos_the_level_is_wasm_where_its_canaries_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(probe, "inspect_interpreter", lambda _: INTERPRETER)
    monkeypatch.setattr(probe, "run_wasm_canaries", lambda sandbox, _: (probe.Canary(name="all", held=True),))
    compiled: list[WasmTools] = []
    monkeypatch.setattr(probe, "compiled_module", compiled.append)
    found = probe.probe_sandboxes(PYTHON, tools=Tools(wasm=FOUND))
    assert found.level == "wasm"
    assert probe.open_sandbox(found).level == "wasm"
    assert compiled == [FOUND], "before the first trial, which has no time for it"
    probe.require_level(found, "wasm")
    with pytest.raises(IsolationError, match="enforces isolation level 'wasm'"):
        probe.require_level(found, "strong")


def test_elsewhere_nothing_runs_without_a_sandbox(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "inspect_interpreter", lambda _: INTERPRETER)
    with pytest.raises(EnvironmentLacksError, match=f"not run on {elsewhere}"):
        probe.unsafe_sandbox(PYTHON)


def test_elsewhere_the_kernel_is_not_asked_for_landlock(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "landlock_abi", lambda: pytest.fail("a system call of Linux"))
    assert tools.find_tools(f"/{elsewhere}.wasm").landlock_abi == 0


class FakeQueue:
    """Stands in for kqueue(2): one end of a pipe, which can be read when the other is closed."""

    def __init__(self, error: OSError | None) -> None:
        self.reader, self.writer = os.pipe()
        self.error = error
        self.asked: list[Any] = []

    def fileno(self) -> int:
        return self.reader

    def control(self, events: list[Any], most: int, timeout: float) -> list[Any]:
        if self.error:
            raise self.error
        self.asked += events
        return []

    def close(self) -> None:
        os.close(self.reader)


@pytest.mark.parametrize("error", [None, ProcessLookupError()], ids=["runs", "has ended"])
def test_without_pidfds_a_kernel_queue_tells_of_the_end(monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> None:
    queue = FakeQueue(error)
    names = ("KQ_EV_ADD", "KQ_EV_ONESHOT", "KQ_FILTER_PROC", "KQ_NOTE_EXIT")
    fakes = {name: 1 << index for index, name in enumerate(names)}
    kernel = SimpleNamespace(kqueue=lambda: queue, kevent=lambda *given: given, **fakes)
    monkeypatch.setattr(exits, "_Kernel", kernel)
    monkeypatch.delattr(os, "pidfd_open")
    watch = exit_descriptor(1234)
    assert queue.asked == ([] if error else [(1234, 4, 3, 8)])
    ended = bool(select.select([watch], [], [], 0)[0])
    assert ended == (error is not None)
    os.close(queue.writer)
    assert select.select([watch], [], [], 0)[0]
    os.close(watch)


def test_peaks_are_kilobytes_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_kb(4096) == 4096
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_kb(4096) == 4


def test_a_channel_that_cannot_be_moved_keeps_the_log_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, log = io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n')), io.StringIO()
    for name, stream in (("stdin", lines), ("stdout", None), ("__stdout__", None), ("stderr", log)):
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(harness_wire, "WASI", True)
    receive, _send = harness_wire.open_channel()
    print("for the log")
    assert receive() == {"a": 1}
    assert receive() is None
    assert log.getvalue() == "for the log\n"
    assert sys.stdin is None


@pytest.mark.parametrize(
    ("error", "number", "words"),
    [
        (OSError(errno.ENOTSUP, "Not supported"), 1, "Not supported"),
        (PermissionError(errno.EPERM, "no"), 1, "no"),
        (OSError(errno.ENOMEM, "full"), 12, "full"),
        (OSError(errno.ENOENT, "absent"), 0, "absent"),
        (ModuleNotFoundError("No module named 'numpy'"), 0, "standard library only"),
        (ValueError("x"), 0, "x"),
    ],
)
def test_errors_of_wasi_are_said_in_the_recorders_numbers(
    monkeypatch: pytest.MonkeyPatch, error: Exception, number: int, words: str
) -> None:
    monkeypatch.setattr(harness_wire, "WASI", True)
    found = harness_wire.describe(error)
    assert found["errno"] == number
    assert words in found["message"]


def test_a_canary_for_what_does_not_exist_is_held_and_a_broken_one_is_not() -> None:
    def absent(_: dict[str, str]) -> str:
        return os.no_such_call()  # type: ignore[attr-defined,no-any-return]

    def refused(_: dict[str, str]) -> str:
        raise OSError("refused")

    def broken(_: dict[str, str]) -> str:
        return "".no_such_method()  # type: ignore[attr-defined,no-any-return]

    assert wasm_canary_script.tried(absent, {}) == ("", "no such call")
    assert wasm_canary_script.tried(refused, {}) == ("", "refused")
    assert wasm_canary_script.tried(lambda _: "got out", {}) == ("got out", "")
    with pytest.raises(AttributeError):
        wasm_canary_script.tried(broken, {})


def test_results_of_wasm_are_a_class_of_their_own() -> None:
    native = EnvironmentDescription(
        implementation="CPython",
        version="3.11",
        packages=(),
        system="Linux",
        machine="x86_64",
        cpu_model="a CPU",
        cpu_level="x86-64-v3",
        platform_class="linux-x86_64-cpu",
    )
    held = in_wasm(native, "CPython-WASI 0123 under wasmtime 50.0.1")
    assert held.platform_class.endswith("-wasm")
    assert "wasmtime 50.0.1" in held.implementation
    assert environment_digest(held) != environment_digest(native)

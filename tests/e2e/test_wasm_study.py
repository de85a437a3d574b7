"""A whole study at level `wasm`, as on a machine that has nothing better."""

import pytest
from conftest import Shell

from consilience.core.errors import EXIT_ENVIRONMENT
from consilience.trials.sandbox import probe as probing
from consilience.trials.sandbox.tools import Tools
from consilience.trials.sandbox.wasm_module import find_wasm

pytestmark = pytest.mark.skipif(bool(find_wasm().lacks), reason="needs the extra: pip install 'consilience[wasm]'")


def test_pure_python_is_improved_where_only_wasm_holds(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.machine.problem(with_program=True)
    monkeypatch.setattr(probing, "find_tools", lambda: Tools(wasm=find_wasm()))
    code, _, err = shell("run", "valley", "--trials", "12", "-q")
    assert code == EXIT_ENVIRONMENT, "the default policy demands more"
    assert "enforces isolation level 'wasm'" in err
    monkeypatch.setenv("CONSILIENCE_MINIMUM_ISOLATION", "wasm")
    code, _, err = shell("run", "valley", "--trials", "12", "-q")
    assert code == 0, err
    report = shell.data("show", "0", "-p", "valley")
    assert report["trial"]["isolation"]["level"] == "wasm"
    started = shell.data("log", "-p", "valley", "--kind", "run.started")[-1]["body"]
    assert started["isolation"]["level"] == "wasm"
    assert shell("verify", "-p", "valley")[0] == 0
    findings = {each["name"]: each for each in shell.data("doctor")}
    assert findings["level wasm"]["health"] == "ok", findings

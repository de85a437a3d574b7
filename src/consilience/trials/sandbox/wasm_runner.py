"""Runs CPython-WASI under wasmtime in a process of its own: one instance, one trial, then the process is gone.

It is a script: it is started by our own interpreter, with wasmtime's folder as the only addition to the path.

Rules:
    1. The guest gets what the orders name: arguments, variables, read-only folders, the three streams. No socket,
       no process, no writable folder exists in it.
    2. Time, CPU and the end of our parent are watched by a thread that ends the whole process. That stops a guest
       in a host call (a sleep) too, which wasmtime's epochs do not, and costs the guest nothing (epochs: 20 %).
    3. Root becomes another user before the guest's first instruction.

Data flow: orders (JSON in one variable) -> module from the cache -> guest -> exit status, as a shell would give it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

ORDERS = "WASM_ORDERS"
SPARE_USER = 65534  # `nobody` by custom; the same as at level `restricted`
TRAPPED = 128 + 6  # as a native program that aborts
OUT_OF_TIME = 128 + 9
OUT_OF_CPU = 128 + 24
CANNOT_LOAD = 125  # as `env` and container tools say that they failed themselves
WATCH_SECONDS = 0.05
TABLE_ELEMENTS = 1_000_000  # a bound on tables, which the memory limit does not count; CPython uses about 10,000


def main() -> None:
    """Compile a module into the cache, or run one."""
    orders = json.loads(os.environ[ORDERS])
    sys.path.append(orders["wasmtime"])
    if "target" in orders:
        _compile(orders)
    else:
        _run(orders)


def _compile(orders: dict[str, Any]) -> None:
    import wasmtime  # noqa: PLC0415 - its folder comes with the orders

    data = wasmtime.Module.from_file(wasmtime.Engine(), orders["module"]).serialize()
    descriptor = os.open(orders["target"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _run(orders: dict[str, Any]) -> None:
    threading.Thread(target=_watch, args=(orders,), daemon=True).start()
    import wasmtime  # noqa: PLC0415 - its folder comes with the orders

    engine = wasmtime.Engine()
    try:
        module = wasmtime.Module.deserialize_file(engine, orders["module"])
    except wasmtime.WasmtimeError as error:
        _end(CANNOT_LOAD, f"cannot load the compiled interpreter: {error}")
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=orders["memory_bytes"], table_elements=TABLE_ELEMENTS, instances=1, memories=1)
    store.set_wasi(_guest(orders, wasmtime.WasiConfig()))
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    _limit(orders["cpu_seconds"])
    _leave_root()
    try:
        start: Any = linker.instantiate(store, module).exports(store)["_start"]
        start(store)
    except wasmtime.ExitTrap as end:
        _end(end.code)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        _end(TRAPPED, str(error))
    _end(0)


def _guest(orders: dict[str, Any], wasi: Any) -> Any:
    wasi.argv = orders["argv"]
    wasi.env = list(orders["environment"].items())
    for folder in orders["folders"]:
        wasi.preopen_dir(folder, folder, False)
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    return wasi


def _watch(orders: dict[str, Any]) -> None:
    """End this process at its limits, or when the recorder is gone."""
    deadline = time.monotonic() + orders["wall_seconds"]
    while os.getppid() == orders["parent"] and time.monotonic() < deadline:
        if time.process_time() > orders["cpu_seconds"]:
            os._exit(OUT_OF_CPU)
        time.sleep(WATCH_SECONDS)
    os._exit(OUT_OF_TIME)


def _limit(cpu_seconds: float) -> None:
    """Have the kernel count CPU time too, where it can."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    whole = max(1, math.ceil(cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _leave_root() -> None:
    if hasattr(os, "getuid") and os.getuid() == 0:
        os.setgroups([])
        os.setgid(SPARE_USER)
        os.setuid(SPARE_USER)


def _end(code: int, message: str = "") -> NoReturn:
    """Leave at once: there is nothing to tidy, and the streams are the guest's."""
    if message:
        os.write(2, (message + "\n").encode())
    os._exit(code)


if __name__ == "__main__":
    main()

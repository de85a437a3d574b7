"""What a result was measured with: interpreter, packages, data, system and class of machine.

Rules:
    1. Only what can change a result, and nothing that names a person or a machine.
    2. Packages are read from the names of their metadata folders: no import of theirs, no start of pip.
    3. The class of a CPU is its model and its instruction-set level; frequency and core count are not in it.

Data flow: interpreter, data digests -> EnvironmentDescription -> digest in every outcome's event.
"""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.canonical import hash_value
from consilience.core.problem import FileDigest
from consilience.trials.executors.interpreters import executable_of, inspect_interpreter
from consilience.trials.gpu.nvml import Device

_METADATA = re.compile(r"^(?P<name>[A-Za-z0-9._-]+?)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist-info|egg-info)$")

# Instruction-set levels of the x86-64 psABI, by flags that only CPUs of that level or above have.
_LEVELS = (
    ("x86-64-v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    ("x86-64-v3", ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")),
    ("x86-64-v2", ("sse4_1", "sse4_2", "ssse3", "popcnt")),
)


class EnvironmentDescription(Struct, frozen=True, kw_only=True):
    """The environment of trials.

    Attributes:
        implementation: of Python, such as CPython.
        version: of the interpreter that runs candidates.
        packages: ``name==version`` of each distribution that it can import, sorted.
        system: operating system and C library.
        machine: such as x86_64.
        cpu_model: as the CPU names itself.
        cpu_level: instruction-set level, such as x86-64-v3.
        platform_class: what results must share to be ranked together, such as linux-x86_64-cpu.
        data: the problem's data files by hash.
        devices: that trials use, each as model and driver.
    """

    implementation: str
    version: str
    packages: tuple[str, ...]
    system: str
    machine: str
    cpu_model: str
    cpu_level: str
    platform_class: str
    data: tuple[FileDigest, ...] = ()
    devices: tuple[str, ...] = ()


def describe_environment(
    interpreter: str = "", data: tuple[FileDigest, ...] = (), devices: Sequence[Device] = ()
) -> EnvironmentDescription:
    """Describe the interpreter with its packages, the machine and the data.

    Args:
        interpreter: the Python that runs candidates; "" is the one that runs us.
        data: the problem's data files.
        devices: of the machine that trials use.

    Raises:
        EnvironmentLacksError: the interpreter cannot be run.
    """
    found = inspect_interpreter(executable_of(interpreter))
    model, level = _cpu()
    return EnvironmentDescription(
        implementation=found.implementation,
        version=found.version,
        packages=installed_packages(found.path),
        system=f"{platform.system()} {' '.join(platform.libc_ver())}".strip(),
        machine=platform.machine(),
        cpu_model=model,
        cpu_level=level,
        platform_class=platform_class([device.name for device in devices]),
        data=data,
        devices=tuple(f"{device.name}, driver {device.driver}" for device in devices),
    )


def in_wasm(description: EnvironmentDescription, runtime: str) -> EnvironmentDescription:
    """Describe the same environment with candidates at level `wasm`, which is a class of platform of its own.

    Its Python is another build with another mathematical library: results differ from the machine's own in the
    last digits (exp, log, pow, gamma; measured), and running times by a factor.

    Args:
        description: of the machine and of the interpreter, which still runs the evaluator.
        runtime: what runs candidates.
    """
    return msgspec.structs.replace(
        description,
        implementation=f"{description.implementation}; candidates: {runtime}",
        platform_class=platform_class().removesuffix("cpu") + "wasm",
    )


def environment_digest(description: EnvironmentDescription) -> str:
    """Name an environment by the hash of its description."""
    return hash_value(description)


def platform_class(models: Sequence[str] = ()) -> str:
    """Return the class of platform within which results are ranked together.

    Args:
        models: of the devices that trials use: one card is not comparable with another.
    """
    models = sorted(re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") for model in models)
    accelerator = "-".join(("cuda", *models)) if models else "cpu"
    return f"{platform.system()}-{platform.machine()}-{accelerator}".lower()


def installed_packages(path: tuple[str, ...]) -> tuple[str, ...]:
    """List ``name==version`` of the distributions on a module path; the first of a name wins, as in imports."""
    found: dict[str, str] = {}
    for folder in path:
        for name, version in _distributions(Path(folder)):
            found.setdefault(name, version)
    return tuple(sorted(f"{name}=={version}" for name, version in found.items()))


def _distributions(folder: Path) -> list[tuple[str, str]]:
    """List the distributions of one folder, with names in their normal form (PEP 503)."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed, for hundreds of entries
    except OSError:
        return []  # on the path but absent, or a zip file
    matches = [match for name in names if (match := _METADATA.match(name))]
    return [(re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"]) for match in matches]


@functools.cache
def _cpu() -> tuple[str, str]:
    """Return the CPU's model and instruction-set level; the machine type where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), platform.machine()
    fields = dict(re.findall(r"^(model name|flags)\s*:\s*(.*)$", text.split("\n\n")[0], re.MULTILINE))
    flags = set(fields.get("flags", "").split())
    level = next((name for name, needed in _LEVELS if flags.issuperset(needed)), platform.machine())
    return fields.get("model name", platform.machine()).strip(), level

"""The environment's description: what is in it, that it is stable, and that it is cheap."""

from __future__ import annotations

import re
import sys
import time

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.core.problem import FileDigest
from consilience.trials.environment import describe_environment, environment_digest


def test_what_can_change_a_result_is_in_it() -> None:
    found = describe_environment(sys.executable)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.implementation == "CPython"
    assert any(re.fullmatch(r"numpy==[\w.]+", package) for package in found.packages)
    assert list(found.packages) == sorted(set(found.packages))
    assert re.fullmatch(r"[a-z]+-\w+-cpu", found.platform_class)


def test_the_digest_is_stable_and_follows_the_content() -> None:
    first, again = describe_environment(), describe_environment(sys.executable)
    assert environment_digest(first) == environment_digest(again)
    others = [
        msgspec.structs.replace(first, packages=(*first.packages, "zzz==1")),
        msgspec.structs.replace(first, cpu_model="another"),
        describe_environment(data=(FileDigest(path="a", sha256="0" * 64),)),
    ]
    assert len({environment_digest(each) for each in [first, *others]}) == 4


def test_it_is_cheap() -> None:
    describe_environment()
    started = time.process_time()
    describe_environment()
    assert time.process_time() - started < 0.1


def test_an_interpreter_that_does_not_work_is_named() -> None:
    with pytest.raises(EnvironmentLacksError, match="/bin/false"):
        describe_environment("/bin/false")

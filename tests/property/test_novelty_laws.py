"""Novelty: what does not count never makes a candidate new; what counts always does."""

import ast
import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.search.novelty import distance, normal_form

PROGRAM = '''
import math

SCALE = 3.5


def pack(count, reach=2):
    """Return something."""
    total = 0
    for place in range(count):
        total += math.sin(place * SCALE) / (1 + reach)
    return [total, count]
'''
NAMES = st.from_regex(r"[a-z_]{3,12}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
TAKEN = {"total", "place", "count", "reach", "math", "range", "pack", "sin"}


def artifact(text: str, path: str = "a.py") -> Artifact:
    return Artifact(files=(ArtifactFile(path, text),))


@settings(max_examples=60, deadline=None)
@given(one=NAMES, other=NAMES)
def test_names_of_locals_do_not_count(one: str, other: str) -> None:
    if one == other or {one, other} & TAKEN:
        return
    renamed = PROGRAM.replace("total", one).replace("place", other)
    assert normal_form(artifact(renamed)) == normal_form(artifact(PROGRAM))
    assert distance(artifact(renamed), artifact(PROGRAM)) == 0.0


@settings(max_examples=40, deadline=None)
@given(comment=st.text(st.characters(codec="ascii", categories=("L", "N", "Zs")), max_size=30))
def test_comments_docstrings_and_formatting_do_not_count(comment: str) -> None:
    texts = [
        PROGRAM.replace("total = 0", f"total = 0  # {comment}"),
        PROGRAM.replace("Return something.", f"Return {comment}."),
        PROGRAM.replace("    return", "\n\n    return"),
        ast.unparse(ast.parse(PROGRAM)),
    ]
    assert {normal_form(artifact(text)) for text in texts} == {normal_form(artifact(PROGRAM))}


@settings(max_examples=60, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_changed_constant_is_new_and_near(value: float) -> None:
    if value == 3.5:
        return
    changed = artifact(PROGRAM.replace("3.5", repr(value)))
    assert normal_form(changed) != normal_form(artifact(PROGRAM))
    assert 0.0 < distance(changed, artifact(PROGRAM)) < 0.2


@pytest.mark.parametrize(
    "change",
    [
        ("math.sin", "math.cos"),
        ("+=", "-="),
        ("count, reach=2", "reach, count=2"),
        ("range(count)", "range(count + 1)"),
    ],
)
def test_structure_counts(change: tuple[str, str]) -> None:
    changed = artifact(PROGRAM.replace(*change))
    assert distance(changed, artifact(PROGRAM)) > 0.005


def test_a_rewritten_program_is_far() -> None:
    other = artifact("def pack(count, reach=2):\n    return sorted({1: 'a'}.items())[::-1]\n")
    assert distance(other, artifact(PROGRAM)) > 0.6


def test_names_stay_where_renaming_is_not_safe() -> None:
    text = "def f():\n    a = 1\n    def g():\n        nonlocal a\n        a = 2\n    g()\n    return a\n"
    assert normal_form(artifact(text)) != normal_form(artifact(text.replace("a = 2", "a = 3")))


@settings(max_examples=50, deadline=None)
@given(
    one=st.dictionaries(st.sampled_from("abc"), st.one_of(st.booleans(), st.floats(-5, 5), st.text(max_size=3))),
    other=st.dictionaries(st.sampled_from("abc"), st.one_of(st.booleans(), st.floats(-5, 5), st.text(max_size=3))),
)
def test_distance_is_symmetric_and_within_bounds(one: dict[str, object], other: dict[str, object]) -> None:
    left, right = Artifact(parameters=one), Artifact(parameters=other)  # type: ignore[arg-type]
    assert distance(left, right) == distance(right, left)
    assert 0.0 <= distance(left, right) <= 1.0
    assert (distance(left, right) == 0.0) == (normal_form(left) == normal_form(right))


def test_other_files_are_compared_by_words() -> None:
    one, spaced = artifact("a b c", "p.txt"), artifact("a  b\nc", "p.txt")
    assert normal_form(one) == normal_form(spaced)
    assert normal_form(artifact("x = (", "p.py")) != normal_form(artifact("x = [", "p.py"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "def f():\n e = 1\n try: g()\n except E as e: print(e)\n",
            "def f():\n q = 1\n try: g()\n except E as e: print(q)\n",
        ),
        ("def f():\n m = 1\n import m\n return m\n", "def f():\n q = 1\n import m\n return q\n"),
        (
            "def f(v):\n m = 1\n match v:\n  case [m]: return m\n",
            "def f(v):\n q = 1\n match v:\n  case [m]: return q\n",
        ),
        ("def f(a=x):\n x = 1\n return x\n", "def f(a=y):\n y = 1\n return y\n"),
        ("def f():\n z = [x for x in r]\n return x\n", "def f():\n z = [y for y in r]\n return y\n"),
        ("def f():\n return [x for x in x]\n", "def f():\n return [y for y in y]\n"),
        ("def f(local_0):\n a = 1\n return local_0\n", "def f(local_0):\n a = 1\n return a\n"),
        ("def f():\n a = 1\n return locals()\n", "def f():\n b = 1\n return locals()\n"),
        ("def f():\n global a\n a = 1\n", "def f():\n global a\n b = 1\n"),
        ("x = 1\n", "x = 1.0\n"),
        ("x = '1'\n", "x = 1\n"),
        ("x = '('\n", "x = ')'\n"),
    ],
)
def test_programs_that_do_different_things_are_never_taken_for_one(one: str, other: str) -> None:
    assert normal_form(artifact(one)) != normal_form(artifact(other))
    assert distance(artifact(one), artifact(other)) > 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n return [x for x in r if x]\n", "def f():\n return [y for y in r if y]\n"),
        ("def f(n):\n a, *b = n\n del a\n return b\n", "def f(n):\n c, *d = n\n del c\n return d\n"),
        ("def f():\n if (n := g()): return n\n", "def f():\n if (m := g()): return m\n"),
        (
            "def f():\n def g(a):\n  b = a\n  return b\n return g\n",
            "def f():\n def g(a):\n  c = a\n  return c\n return g\n",
        ),
    ],
)
def test_renaming_reaches_every_way_to_bind_a_variable(one: str, other: str) -> None:
    assert normal_form(artifact(one)) == normal_form(artifact(other))


def test_a_deep_program_has_a_form() -> None:
    long = artifact("total = " + " + ".join(["a"] * 5000) + "\n")
    assert normal_form(long) != normal_form(artifact("total = " + " + ".join(["a"] * 4999) + "\n"))


def test_a_warning_about_the_candidate_does_not_change_its_form() -> None:
    one = artifact("word = '\\d'  # one\n")
    assert normal_form(one) == normal_form(artifact("word = '\\d'  # two\n"))


def test_one_constant_of_a_long_program_is_near_and_a_rewritten_function_far() -> None:
    steps = [f"def step_{n}(count):\n    return math.sin(count * {n}.5) / (1 + {n}.25)\n\n\n" for n in range(20)]
    program = "import math\n\n\n" + "".join(steps)
    assert 60 <= len(program.splitlines()) <= 90
    assert 0.001 < distance(artifact(program), artifact(program.replace("7.25", "7.75"))) < 0.1
    other = "import math\n\n\ndef step(values, *, reach=2):\n    return sorted(values)[::-1] if reach else {}\n"
    assert distance(artifact(steps[0]), artifact(other)) > 0.3

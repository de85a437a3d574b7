"""What each family of rewrites offers: before -> every possible after."""

import random

import pytest
from msgspec.structs import replace

from consilience.core.artifact import Artifact, ArtifactFile, artifact_id
from consilience.core.ports import ProposalView, Proposer, Scored
from consilience.search.proposers import default_proposers
from consilience.search.proposers.crossover import CrossoverProposer
from consilience.search.proposers.edits import edited
from consilience.search.proposers.structural import FAMILIES, StructuralProposer
from consilience.search.proposers.syntax import parse
from consilience.testing.proposers import example_view

FAMILY = {family.operator: family for family in FAMILIES}
LOOP = "x = 1\nfor i in y:\n    a()\n    b(i)\n"


def scored(text: str, path: str = "a.py") -> Scored:
    artifact = Artifact(files=(ArtifactFile(path, text),))
    return Scored(candidate=artifact_id(artifact), artifact=artifact, score=0.0)


def view_of(text: str, *pool: str, path: str = "a.py") -> ProposalView:
    parent = scored(text, path)
    others = [scored(other, path) for other in pool]
    view = example_view(program=False, parameters=False, pool=False)
    return replace(view, parent=parent, incumbent=parent, origin=parent, pool=others)


def afters(operator: str, before: str) -> set[str]:
    source = parse("a.py", before)
    assert source is not None
    edits = [edit for site in FAMILY[operator].sites(source) for edit in site()]
    made = [edited(scored(before).artifact, edit) for edit in edits]
    return {artifact.text("a.py") for artifact in made if artifact is not None}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("a = b < c\n", {"a = b <= c\n", "a = b > c\n"}),
        ("a = b and c\n", {"a = b or c\n"}),
        ("a = é+b\n", {"a = é-b\n", "a = é*b\n"}),
        ("a += 1\n", {"a -= 1\n", "a = 1\n"}),
        ("a = (b  # why\n     - c)\n", {"a = (b  # why\n     + c)\n"}),
        ("if a: pass\n", {"if not (a): pass\n"}),
        ("if(a): pass\n", {"if(not (a)): pass\n"}),
        ("if not a: pass\n", {"if a: pass\n"}),
        ("a = b if c  not in d else e\n", {"a = b if c  in d else e\n", "a = b if not (c  not in d) else e\n"}),
        ("while a or b: pass\n", {"while a and b: pass\n"}),
        ("def f(a):\n    return-a\n", {"def f(a):\n    return a\n"}),
        ("a = -1\n", set()),
        ("a = b\n", set()),
        (
            "a = b + 1\n# EVOLVE-BLOCK-START\na = b - 1\n# EVOLVE-BLOCK-END\n",
            {"a = b + 1\n# EVOLVE-BLOCK-START\na = b + 1\n# EVOLVE-BLOCK-END\n"},
        ),
    ],
)
def test_swap_operator(before: str, expected: set[str]) -> None:
    assert afters("swap-operator", before) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("f(x, y)\n", {"f(y, x)\n"}),
        ("f((a, b), c)\n", {"f(c, (a, b))\n"}),
        ("f(x, x, *z)\n", set()),
        ("f(x, key=1)\n", {"f(x)\n"}),
        ("f(key=1)\n", {"f()\n"}),
        ("f(x, key=1,)\n", {"f(x,)\n"}),
        ("f(\n    a=1,  # one\n    b=2,  # two\n)\n", {"f(\n    b=2,  # two\n)\n", "f(\n    a=1,  # two\n)\n"}),
        ("f(True)\n", {"f(False)\n", "f(None)\n"}),
        ("f(*x, k=None)\n", {"f(*x, k=True)\n", "f(*x, k=0)\n", "f(*x)\n"}),
        ("def g(x, *, y, z=1): pass\ng(x=1, y=2, z=3)\n", {"def g(x, *, y, z=1): pass\ng(x=1, y=2)\n"}),
        ("f(x)\n", set()),
    ],
)
def test_call_arguments(before: str, expected: set[str]) -> None:
    assert afters("call-arguments", before) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("a = 4\n", {f"a = {new}\n" for new in ("2", "8", "0", "40", "(-4)", "5", "3")}),
        ("a = -0.5\n", {f"a = {new}\n" for new in ("-0.25", "-1.0", "-0.05", "-5.0", "0.5", "-1.5")}),
        ("a = 0\n", {"a = 1\n", "a = (-1)\n"}),
        ("a = 0.0\n", {"a = 1.0\n", "a = (-1.0)\n"}),
        ("a = b[3]\n", set()),
    ],
)
def test_scale_constant(before: str, expected: set[str]) -> None:
    assert afters("scale-constant", before) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("def f():\n    a()\n", {"def f():\n    pass\n", "def f():\n    a()\n    a()\n"}),
        (
            "a()\nb()  # two\n",
            {"b()  # two\n", "a()\n", "a()\na()\nb()  # two\n", "a()\nb()  # two\nb()  # two\n", "b()  # two\na()\n"},
        ),
        ("a()\r\nb()\r\n", {"b()\r\n", "a()\r\n", "a()\r\na()\r\nb()\r\n", "a()\r\nb()\r\nb()\r\n", "b()\r\na()\r\n"}),
        (
            LOOP,
            {
                "for i in y:\n    a()\n    b(i)\n",
                "x = 1\n" + LOOP,
                "for i in y:\n    a()\n    b(i)\nx = 1\n",
                "for i in y:\n    x = 1\n    a()\n    b(i)\n",
                "x = 1\n",
                LOOP + LOOP.removeprefix("x = 1\n"),
                "x = 1\nfor i in y:\n    b(i)\n",
                "x = 1\nfor i in y:\n    a()\n    a()\n    b(i)\n",
                "x = 1\nfor i in y:\n    b(i)\n    a()\n",
                "x = 1\na()\nfor i in y:\n    b(i)\n",
                "x = 1\nfor i in y:\n    a()\n",
                "x = 1\nfor i in y:\n    a()\n    b(i)\n    b(i)\n",
                "x = 1\nfor i in y:\n    a()\nb(i)\n",
            },
        ),
        ('def f():\n    """Text."""\n    return 1\n', set()),
        ("import a\nfrom b import c\n", set()),
        ("x = 1\ny(x)\n", {"x = 1\nx = 1\ny(x)\n", "x = 1\n", "x = 1\ny(x)\ny(x)\n"}),  # x keeps its only value
        (
            "def f(x):\n    x = 1\n    return x\n",
            {"def f(x):\n    return x\n", "def f(x):\n    x = 1\n    x = 1\n    return x\n"},
        ),
        ("a()", set()),
    ],
)
def test_statements(before: str, expected: set[str]) -> None:
    assert afters("statements", before) == expected


@pytest.mark.parametrize(("value", "moves"), [("1", True), ('"""\n"""', False)])
def test_a_string_over_lines_is_not_indented_anew(value: str, moves: bool) -> None:
    found = afters("statements", f"x = {value}\nwhile y:\n    z()\n")
    assert any(after.startswith("while y:\n    x") for after in found) == moves


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("a = np.zeros(3)\n", {"a = np.ones(3)\n"}),
        ("a = np.maximum(x, 0)\n", {f"a = np.{new}\n" for new in ("minimum(x, 0)", "hypot(x, 0)", "tanh(x)")}),
        ("a = np.tanh(x)\n", {f"a = np.{new}\n" for new in ("arctan(x)", "sign(x)", "abs(x)", "maximum(x, 0.0)")}),
        ("a = np.maximum(x, 0.5)\n", {"a = np.minimum(x, 0.5)\n", "a = np.hypot(x, 0.5)\n"}),
        ("a = math.sqrt(x)\n", {"a = math.log1p(x)\n", "a = math.cbrt(x)\n"}),
        ("a = min(x, y)\n", {"a = max(x, y)\n"}),
        ("a = min(x)\n", {"a = max(x)\n", "a = sum(x)\n"}),
        ("a = x.mean()\n", {"a = x.min()\n", "a = x.max()\n", "a = x.sum()\n"}),
        ("a = rng.uniform(0, 1)\n", {"a = rng.normal(0, 1)\n"}),
        ("a = np.random.uniform(0, 1)\n", {"a = np.random.normal(0, 1)\n"}),
        ("a = sorted(x)\n", {"a = reversed(x)\n"}),
        ("a = own(x) + x.own()\n", set()),
    ],
)
def test_swap_call(before: str, expected: set[str]) -> None:
    assert afters("swap-call", before) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            "a = b * c\n",
            {"a = b\n", "a = c\n"} | {f"a = {factor} * (b * c)\n" for factor in ("0.5", "0.9", "1.1", "2.0")},
        ),
        ("a = -f(x, y)\n", {f"a = -({factor} * f(x, y))\n" for factor in ("0.5", "0.9", "1.1", "2.0")}),
        ("a = b or c\n", {"a = b\n", "a = c\n"}),
        ("a = b if c else d\n", {"a = b\n", "a = d\n"}),
        ("def f(a):\n    return(a)or(g)\n", {"def f(a):\n    return(a)\n", "def f(a):\n    return(g)\n"}),
        ("a[i + 1] = b\n", {"a[i] = b\n", "a[1] = b\n"}),
        ("for i in range(n + 1): pass\n", {"for i in range(n): pass\n", "for i in range(1): pass\n"}),
        (
            "def f(a, b):\n    c = a\n    return c\n",
            {
                "def f(a, b):\n    c = b\n    return c\n",
                "def f(a, b):\n    c = a\n    return a\n",
                "def f(a, b):\n    c = a\n    return b\n",
            },
        ),
        ("def f(a):\n    for b, c in a: pass\n", set()),
        ("def f(a, b):\n    a[b] = 1\n", set()),  # one is opened, the other an index
        ("def f(a):\n    for b in a: c = 1\n    return a\n", set()),  # c may never have had a value
        ("def f(a: int) -> a: pass\n", set()),
        ("a = b\n", set()),
    ],
)
def test_expression(before: str, expected: set[str]) -> None:
    found = {after.replace("return (", "return(") for after in afters("expression", before)}
    assert found == expected


@pytest.mark.parametrize("operator", FAMILY)
def test_where_nothing_applies_nothing_is_offered(operator: str) -> None:
    view = view_of("import a\n")
    proposer = StructuralProposer(FAMILY[operator])
    assert not proposer.applies(view)
    assert proposer.propose(view, random.Random(0)) is None


@pytest.mark.parametrize("text", ["def f(:\n", "# EVOLVE-BLOCK-START\na = 1 + b(2)\n"])
def test_faulty_files_offer_nothing(text: str) -> None:
    view = view_of(text)
    assert [proposer.propose(view, random.Random(0)) for proposer in default_proposers()] == [None] * 9
    assert not any(proposer.applies(view) for proposer in default_proposers())


def test_files_in_other_languages_offer_nothing() -> None:
    view = view_of("a = 1 + f(b, c)\n", path="a.jl")
    assert not any(proposer.applies(view) for proposer in default_proposers())


def test_a_hypothesis_says_what_changed_and_where() -> None:
    proposal = StructuralProposer(FAMILY["swap-operator"]).propose(
        view_of("def pack(a, b):\n    # é\n    return a == b\n"), random.Random(1)
    )
    assert proposal is not None
    assert proposal.hypothesis.target == "pack():3"
    assert proposal.hypothesis.change in {f"`==` -> `{other}` in `a == b`" for other in ("!=", "<=", ">=")}
    assert proposal.hypothesis.reason == "comparisons at a boundary are often off by one"


@pytest.mark.parametrize("operator", FAMILY)
def test_what_is_said_is_one_short_line(operator: str) -> None:
    long = ", ".join(f"some_name_{n} if a < {n}.5 else f({n}, x=True)" for n in range(9))
    view = view_of(f"def f(a):\n    b = max(\n        {long},\n        [1,\n2, 3],\n    )\n    return b\n")
    for seed in range(20):
        proposal = StructuralProposer(FAMILY[operator]).propose(view, random.Random(seed))
        assert proposal is not None
        assert len(proposal.hypothesis.change) <= 120
        assert "\n" not in proposal.hypothesis.change


def test_every_site_is_as_likely_as_any_other() -> None:
    view = view_of("a = b == c\nd = e and f\n")
    made = [StructuralProposer(FAMILY["swap-operator"]).propose(view, random.Random(seed)) for seed in range(200)]
    first = sum(proposal is not None and proposal.hypothesis.target == "a.py:1" for proposal in made)
    assert 70 < first < 130  # the first site has three edits, the second one


def taken(view: ProposalView) -> set[str]:
    made = [CrossoverProposer().propose(view, random.Random(seed)) for seed in range(20)]
    assert all(proposal is None or len(proposal.parents) == 2 for proposal in made)
    return {proposal.artifact.text("a.py") for proposal in made if proposal is not None}


CLASSES = (
    "class A:\n    def f(self):\n        return {}\n\n\nclass B:\n    def f(self):\n        return {}\n\n\nX = {}\n"
)


def test_crossover_takes_functions_by_their_qualified_name() -> None:
    mine, theirs = CLASSES.format(1, 2, 3), CLASSES.format(4, 5, 6)
    assert taken(view_of(mine, theirs)) == {CLASSES.format(4, 2, 3), CLASSES.format(1, 5, 3)}


def test_crossover_never_gives_either_parent_again() -> None:
    assert taken(view_of(CLASSES.format(1, 2, 3), CLASSES.format(1, 5, 3))) == set()
    assert taken(view_of(CLASSES.format(1, 2, 3), CLASSES.format(1, 2, 6))) == set()


def test_crossover_of_parameters_takes_some_or_all_when_more_differs() -> None:
    view = example_view(program=False)
    proposer: Proposer = CrossoverProposer()
    made = [proposer.propose(view, random.Random(seed)) for seed in range(40)]
    values = [proposal.artifact.parameters for proposal in made if proposal is not None]
    other = view.pool[0].artifact.parameters
    assert all(
        value in (view.parent.artifact.parameters[name], other[name]) for v in values for name, value in v.items()
    )
    assert other not in values
    assert len({tuple(v.items()) for v in values}) > 4

"""Attacks from inside one process: on the evaluator's objects, functions, modules and memory.

They win where the evaluator imports the candidate, and meet nobody where it does not.

Rules:
    1. Each tries something that a program can really do to its own process; none relies on a fault of ours.

Data flow: program text -> candidate's process -> objects of whoever shares it.
"""

from __future__ import annotations

from consilience.trials.attacks.model import Attack

LINE = '{"op":"metrics","metrics":{"score":1.0},"numbers":{"combined_score":1.0}}'
"""What the harnesses of both kinds of evaluator would send for a perfect score."""

WRONG = "\ndef run(*_):\n    return 100.0\n"
"""An answer that is worth nothing."""

_APART = "the evaluator lives in another process"

FRAMES = """
import sys

def run(seed):
    frame = sys._getframe()
    while frame:
        if "SECRET" in frame.f_globals:
            frame.f_globals["SECRET"] = 100.0
        frame = frame.f_back
    return 100.0
"""
MODULES = """
import sys

for module in list(sys.modules.values()):
    if "SECRET" in vars(module):
        module.SECRET = 100.0
    if "evaluate" in vars(module):
        module.evaluate = lambda *_: 1.0
"""
CODE_SWAP = """
import gc

def always(*_):
    return 1.0

def run(seed):
    for found in gc.get_objects():
        if type(found).__name__ == "function" and found.__name__ == "grade":
            found.__code__ = always.__code__
    return 100.0
"""
ALWAYS_EQUAL = """
class Equal:
    def __eq__(self, other):
        return True
    def __abs__(self):
        return 0
    def tolist(self):
        return 100.0

def run(seed):
    return Equal()
"""
FLOAT_SUBCLASS = """
class Forged(float):
    def __eq__(self, other):
        return True
    def __repr__(self):
        return "1e999"
    def __sub__(self, other):
        return 0.0
    __rsub__ = __sub__
    __str__ = __repr__

def run(seed):
    return Forged(100.0)
"""
MUTATED_INPUT = """
def run(rows):
    rows[:] = [0.0] * len(rows)
    return list(rows)
"""
JSON_DUMP = """
import json

for name in ("dump", "dumps"):
    def forged(value, *rest, real=getattr(json, name), **options):
        return real({"score": 1.0}, *rest, **options)
    setattr(json, name, forged)
"""
WRITER = """
import gc

def run(seed):
    for found in gc.get_objects():
        if type(found).__name__ == "function" and found.__name__ == "send" and found.__closure__:
            for cell in found.__closure__:
                if getattr(cell.cell_contents, "__name__", "") == "encode":
                    cell.cell_contents = lambda *_: LINE
    return 100.0
""".replace("LINE", repr(LINE))
OS_WRITE = """
import os

real = os.write

def forged(descriptor, data):
    if descriptor > 2:
        real(descriptor, LINE)
    return real(descriptor, data)

os.write = os.writev = forged
""".replace("LINE", repr(LINE.encode() + b"\n"))
OWN_MEMORY = """
import os, re, struct, sys

def run(seed):
    grader = sys.modules.get("grader")
    if grader is not None:
        import ctypes
        ctypes.memmove(id(grader.SECRET) + 16, struct.pack("d", 100.0), 8)
        return 100.0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            regions = open(f"/proc/{pid}/maps").read().splitlines()
            memory = open(f"/proc/{pid}/mem", "rb", 0)
        except OSError:
            continue
        for region in regions:
            low, high = (int(end, 16) for end in region.split()[0].split("-"))
            if "rw" in region and high - low < 1 << 25:
                try:
                    memory.seek(low)
                    found = re.search(rb"SECRET = ([0-9]+[.][0-9]+)", memory.read(high - low))
                except (OSError, ValueError):
                    continue
                if found:
                    return float(found[1])
    return 100.0
"""
RANDOM_STATE = """
import os, random, sys

def told_seed():
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if type(value) is dict and type(value.get("seed")) is int:
                return value["seed"]
        frame = frame.f_back
    return int(os.environ.get("PYTHONHASHSEED", "0"))

SEED = told_seed()
random.seed(SEED)
START = random.getstate()

def run(shown):
    stream = random.Random()
    stream.setstate(START)
    own = random.Random(SEED)
    return shown + [stream.randrange(1000) for _ in range(8)] + [own.randrange(1000) for _ in range(8)]
"""
RANDOM_STATE_IN_PROCESS = RANDOM_STATE.replace(
    "def run(shown):",
    "def run(shown):\n    import sys\n    return shown + sys._getframe(2).f_locals['hidden']\n\ndef unused(shown):",
)
NESTED_NAN = """
class Equal:
    def __eq__(self, other):
        return True
    def tolist(self):
        return [float("nan"), -0.0, True]

def run(rows):
    return [Equal() for _ in rows]
"""
TOLIST = """
class Endless:
    def tolist(self):
        return self
    def __iter__(self):
        return self
    def __next__(self):
        return self
    def __eq__(self, other):
        return True

def run(rows):
    return Endless()
"""

ATTACKS = (
    Attack(
        number=1,
        name="frame walk",
        tries="walks its callers' frames and overwrites the evaluator's reference value",
        stopped_by=_APART,
        program=FRAMES,
    ),
    Attack(
        number=2,
        name="modules",
        tries="patches every module that holds the reference or an evaluate function, __main__ included",
        stopped_by=_APART,
        program=MODULES + WRONG,
    ),
    Attack(
        number=3,
        name="code swap",
        tries="finds the grading function by the garbage collector and swaps its code",
        stopped_by=_APART,
        program=CODE_SWAP,
    ),
    Attack(
        number=4,
        name="always equal",
        tries="answers with an object that equals everything",
        stopped_by="an answer is JSON: no object arrives",
        program=ALWAYS_EQUAL,
    ),
    Attack(
        number=5,
        name="NaN",
        tries="answers NaN where the evaluator tests `not error > tolerance`",
        stopped_by="NaN and infinity are refused at the boundary: `non_finite`",
        target="numeric",
        program="def run(x):\n    return float('nan')\n",
    ),
    Attack(
        number=10,
        name="mutated input",
        tries="empties its input so that a reference computed from it agrees with an empty answer",
        stopped_by="the candidate gets a copy; the reference is computed from the evaluator's own",
        target="rows",
        program=MUTATED_INPUT,
    ),
    Attack(
        number=13,
        name="math.sqrt",
        tries="replaces the function that the reference is computed with",
        stopped_by=_APART,
        target="numeric",
        program="import math\nmath.sqrt = lambda x: 0.0\ndef run(x):\n    return 0.0\n",
    ),
    Attack(
        number=14,
        name="builtins.abs",
        tries="replaces the builtin that the error is computed with",
        stopped_by=_APART,
        target="numeric",
        program="import builtins\nbuiltins.abs = lambda x: 0.0\ndef run(x):\n    return 0.0\n",
    ),
    Attack(
        number=15,
        name="json.dump",
        tries="wraps the function that writes the result",
        stopped_by="the result is written by the evaluator, in another process",
        shape="file",
        program=JSON_DUMP + WRONG,
    ),
    Attack(
        number=19,
        name="float subclass",
        tries="answers with a number whose operators and text are forged",
        stopped_by="the number is written as data by C code; the text that arrives is the plain value",
        program=FLOAT_SUBCLASS,
    ),
    Attack(
        number=23,
        name="the shim's writer",
        tries="takes over the function with which its own process answers, and sends a score",
        stopped_by="a line with any field but value, error and stage is no answer: `invalid_output`",
        program=WRITER,
    ),
    Attack(
        number=26,
        name="random state",
        tries="reads the seed that it was given and draws what the evaluator will draw",
        stopped_by="the candidate's seed is derived one way from the trial's seed and the evaluator's bytes",
        target="seeded",
        program=RANDOM_STATE,
        common_program=RANDOM_STATE_IN_PROCESS,
    ),
    Attack(
        number=42,
        name="os.write",
        tries="replaces os.write so that each answer is preceded by a forged line",
        stopped_by="the harness holds the system's own function since before foreign code ran",
        program=OS_WRITE + WRONG,
    ),
    Attack(
        number=47,
        name="nested NaN",
        tries="hides NaN, -0.0 and booleans in nested lists of objects that equal everything",
        stopped_by="plain data is checked to its last element",
        target="rows",
        program=NESTED_NAN,
    ),
    Attack(
        number=48,
        name="endless tolist",
        tries="answers with an object whose tolist and iterator return itself for ever",
        stopped_by="encoding fails inside the candidate's process; the trial has no answer",
        target="rows",
        program=TOLIST,
        common_program=TOLIST.replace("return Endless()", "return [Endless()] * len(rows)"),
    ),
    Attack(
        number=49,
        name="process memory",
        tries="overwrites the reference where it lies in memory, or searches the memory of every process for it",
        stopped_by="another process's memory is in another PID namespace, or refused",
        program=OWN_MEMORY,
    ),
)

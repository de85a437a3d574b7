"""Attacks on clocks: to look fast, or to have the work done where nobody counts it.

Rules:
    1. Their answers are right, so that time alone is at stake.

Data flow: program text -> candidate's process -> clock of the evaluator or of the recorder.
"""

from __future__ import annotations

from consilience.trials.attacks.model import Attack
from consilience.trials.attacks.targets import CHAIN

_OUTSIDE = "the recorder takes the time, from the call to the last byte of the answer"
_ONLY_CHAIN = CHAIN.split("def run", maxsplit=1)[0]

LAZY = (
    _ONLY_CHAIN
    + """
class Lazy:
    def __init__(self, text):
        self.text = text
    def __eq__(self, other):
        return chain(self.text) == other
    def __ne__(self, other):
        return chain(self.text) != other

def run(text):
    return Lazy(text)
"""
)
FAKE_CLOCK = "import time\nfor name in ('perf_counter', 'monotonic', 'time'):\n    setattr(time, name, lambda: 0.0)\n"
CACHE = (
    _ONLY_CHAIN
    + """
import functools

run = functools.lru_cache(None)(chain)
"""
)
AHEAD = (
    _ONLY_CHAIN
    + """
import sys, threading

done = {}

def work(texts):
    for text in texts:
        done.setdefault(text, chain(text))

def run(text):
    frame, seen = sys._getframe(), [text]
    while frame:
        seen += frame.f_locals.get("texts", [])
        frame = frame.f_back
    if text not in done:
        work(seen)
    threading.Thread(target=work, args=([format(number, "016x") for number in range(1000)],), daemon=True).start()
    return done[text]
"""
)
AHEAD_AT_ONCE = "\n".join(line for line in AHEAD.splitlines() if ".start()" not in line)
CHILD = (
    _ONLY_CHAIN
    + """
import os

def run(text):
    inward, outward = os.pipe()
    if os.fork() == 0:
        os.write(outward, chain(text).encode())
        os._exit(0)
    return os.read(inward, 64).decode()
"""
)
STOPPED = (
    _ONLY_CHAIN
    + """
import os, signal

def run(text):
    inward, outward = os.pipe()
    me = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os.kill(me, signal.SIGSTOP)
        return chain(text)
    if child == 0:
        os.write(outward, chain(text).encode())
        os.kill(me, signal.SIGCONT)
        os._exit(0)
    os.kill(me, signal.SIGSTOP)
    return os.read(inward, 64).decode()
"""
)
WHEN_CHECKED = (
    _ONLY_CHAIN
    + """
calls = []

def run(text):
    calls.append(text)
    return chain(text) if len(calls) == 1 else "0" * 64
"""
)

_HEAD = "import secrets\nimport time\n" + _ONLY_CHAIN
SAME_INPUT = (
    _HEAD
    + """
def evaluate(candidate, seed):
    text = secrets.token_hex(8)
    seconds = []
    for _ in range(3):
        answer = candidate.call("run", text)
        seconds.append(candidate.seconds)
    if answer != chain(text):
        return 0.0
    return 1.0 if min(seconds) < 0.004 else 0.5
"""
)
CPU_CLOCK = (
    _HEAD
    + """
def evaluate(candidate, seed):
    seconds = []
    for _ in range(3):
        text = secrets.token_hex(8)
        started = time.process_time()
        answer = candidate.call("run", text)
        seconds.append(time.process_time() - started)
        if answer != chain(text):
            return 0.0
    return 1.0 if min(seconds[1:]) < 0.008 else 0.5
"""
)
CHECKED_ONCE = (
    _HEAD
    + """
def evaluate(candidate, seed):
    text = secrets.token_hex(8)
    if candidate.call("run", text) != chain(text):
        return 0.0
    seconds = []
    for _ in range(3):
        candidate.call("run", secrets.token_hex(8))
        seconds.append(candidate.seconds)
    return 1.0 if min(seconds) < 0.004 else 0.5
"""
)

ATTACKS = (
    Attack(
        number=16,
        name="lazy answer",
        tries="answers at once with an object that does the work when it is compared",
        stopped_by="an answer is JSON: it is whole when it arrives",
        target="timed",
        program=LAZY,
    ),
    Attack(
        number=17,
        name="fake clock",
        tries="replaces the clock that the evaluator reads",
        stopped_by=_OUTSIDE,
        target="timed",
        program=FAKE_CLOCK + CHAIN,
    ),
    Attack(
        number=18,
        name="cached answer",
        tries="keeps the answer of the first call for the calls that are timed",
        stopped_by="every timed call has a fresh input: the evaluator's duty, no sandbox can do it",
        target="timed",
        program=CACHE,
        common=SAME_INPUT,
    ),
    Attack(
        number=27,
        name="work ahead",
        tries="finds the coming inputs, computes them in an untimed call, and has a thread go on between calls",
        stopped_by="coming inputs are in another process and cannot be guessed",
        target="timed",
        program=AHEAD,
        common_program=AHEAD_AT_ONCE,
    ),
    Attack(
        number=28,
        name="work in a child",
        tries="has another process do the work, where the clock of CPU time does not count it",
        stopped_by="a called candidate may start no process; wall time is taken too",
        target="timed",
        program=CHILD,
        common=CPU_CLOCK,
    ),
    Attack(
        number=30,
        name="behaves when checked",
        tries="does the work in the call that is checked, and nothing in those that are timed",
        stopped_by="the answer of every timed call is checked: the evaluator's duty",
        target="timed",
        program=WHEN_CHECKED,
        common=CHECKED_ONCE,
    ),
    Attack(
        number=36,
        name="stops itself",
        tries="stops itself while another process works, to spend no CPU time that is counted",
        stopped_by="no other process may be started, and the deadline is of wall time",
        target="timed",
        program=STOPPED,
        common=CPU_CLOCK,
        wall_seconds=2.0,
    ),
)

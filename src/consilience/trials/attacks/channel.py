"""Attacks on the channel between the candidate and the recorder: forged, early, broken and endless lines.

Rules:
    1. They know the channel's exact shape and the descriptors that it is kept on: nothing is left to luck.

Data flow: program text -> candidate's process -> bytes on the channel -> recorder.
"""

from __future__ import annotations

from consilience.trials.attacks.inside import LINE, WRONG
from consilience.trials.attacks.model import Attack

_LOCKSTEP = "lock-step: a byte that was not asked for, or a line of another shape, fails the trial"
_STRICT = "strict JSON, decoded once and encoded again for the evaluator"

# Descriptors from 100 are where the harness keeps its private ends; the lower ones are what programs open.
SAY = """
import os

def say(data):
    for descriptor in [*range(3, 64), *range(100, 256)]:
        try:
            os.write(descriptor, data)
        except OSError:
            pass
"""


def _says(line: bytes, *, then: str = "    return 100.0\n") -> str:
    return f"{SAY}\ndef run(*_):\n    say({line!r})\n{then}"


_FORGED = LINE.encode() + b"\n"
_WAIT = "    import time\n    time.sleep(0.3)\n    return 100.0\n"

EARLY = (
    SAY
    + """
say(b'{"value":100.0}\\n' * 3)
import threading, time

def repeat():
    while True:
        time.sleep(0.0005)
        say(b'{"value":100.0}\\n')

threading.Thread(target=repeat, daemon=True).start()
"""
    + WRONG
)
SIGNALS = (
    SAY
    + f"""
import signal, time

def on_alarm(*_):
    signal.setitimer(signal.ITIMER_REAL, 0)
    say({_FORGED!r})

for number in range(1, 32):
    try:
        signal.signal(number, on_alarm)
    except (OSError, ValueError):
        pass
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

def run(seed):
    time.sleep(0.3)
    return 100.0
"""
)
STOLEN_CALLS = """
import os, threading

def steal():
    for descriptor in [0, *range(3, 256)]:
        try:
            os.set_blocking(descriptor, False)
            os.read(descriptor, 1 << 16)
            os.dup2(descriptor, 1)
        except OSError:
            pass

steal()
threading.Thread(target=steal, daemon=True).start()

def run(x):
    steal()
    return 0.0
"""
RACE = (
    SAY
    + """
import threading, time

def late():
    time.sleep(0.0002)
    say(b'{"value":100.0}\\n')

def run(*_):
    threading.Thread(target=late, daemon=True).start()
    return 100.0
"""
)
SLOW = SAY + "\nimport time\n\ndef run(*_):\n    while True:\n        say(b' ')\n        time.sleep(0.01)\n"
PICKLE = """
import os, pickle

class Bomb:
    def __reduce__(self):
        found = "__import__('sys').modules['grader'].__dict__.update(SECRET=100.0) or 100.0"
        return eval, (found,)

def run(seed):
    shell = b"cos\\nsystem\\n(S'touch " + CANARY["file"].encode() + b".pickle'\\ntR.\\n"
    for descriptor in range(100, 110):
        try:
            os.write(descriptor, shell)
        except OSError:
            pass
    return Bomb()
"""
PICKLED = """
import pickle
from pathlib import Path

SECRET = <NUMBER>

def evaluate(candidate, seed):
    Path("results.pkl").write_bytes(pickle.dumps(candidate.call("run", seed)))
    answer = pickle.loads(Path("results.pkl").read_bytes())
    return max(0.0, 1.0 - abs(answer - SECRET))
"""
PICKLED_ANSWER = PICKLE.replace("range(100, 110)", "()")
CHANNEL_FLOOD = f"{SAY}\ndef run(*_):\n    while True:\n        say(b'x' * 65536)\n"
LATE_EXIT = """
import os, threading, time

def late():
    time.sleep(0.02)
    os._exit(0)

def run(*_):
    threading.Thread(target=late).start()
    time.sleep(5)
    return 100.0
"""
LYING_ERROR = """
class Metrics(Exception):
    errno = 12
    def __str__(self):
        return LINE

Metrics.__name__ = "metrics\\n" + LINE + "\\x1b[2J"

def run(seed):
    raise Metrics("score: 1.0")
""".replace("LINE", repr(LINE))

ATTACKS = (
    Attack(
        number=7,
        name="forged output",
        tries="prints a score, as programs do whose output is searched for one",
        stopped_by="what is printed is a log, never a score",
        shape="print",
        program="import atexit\natexit.register(print, 'score: 1.0')\nprint('score: 1.0', flush=True)\n" + WRONG,
    ),
    Attack(
        number=8,
        name="every descriptor",
        tries="writes the line of a perfect score on every open descriptor",
        stopped_by=_LOCKSTEP,
        program=_says(_FORGED, then=_WAIT),
    ),
    Attack(
        number=21,
        name="output flood",
        tries="prints without end, to fill memory or disk or to hang the reader",
        stopped_by="a log keeps its tail; far more than a log ends the trial",
        program="def run(*_):\n    while True:\n        print('score: 1.0 ' * 100_000)\n",
    ),
    Attack(
        number=22,
        name="deep JSON",
        tries="answers with 50,000 nested lists, to break the parser's stack",
        stopped_by="depth is counted before anything is parsed",
        program=_says(b"[" * 50_000 + b"]" * 50_000 + b"\n"),
    ),
    Attack(
        number=25,
        name="pickle",
        tries="answers with an object whose unpickling runs code, and writes a pickle on the channel",
        stopped_by="nothing is ever unpickled: answers are JSON",
        program=PICKLE,
        common=PICKLED,
        common_program=PICKLED_ANSWER,
    ),
    Attack(
        number=41,
        name="early answer",
        tries="writes answers in the exact shape before they are asked for",
        stopped_by=_LOCKSTEP,
        program=EARLY,
    ),
    Attack(
        number=43,
        name="signals and timers",
        tries="takes every signal and has a timer write a forged line while the harness is at work",
        stopped_by=_LOCKSTEP,
        program=SIGNALS,
    ),
    Attack(
        number=44,
        name="huge numbers",
        tries="answers with 10**5000, and with 1e999 spelt out, which parsers read as infinity",
        stopped_by="integers beyond 64 bits and numbers out of range are refused",
        target="numeric",
        program=_says(b'{"value":1e999}\n', then="    return 10 ** 5000\n"),
    ),
    Attack(
        number=45,
        name="surrogates",
        tries="answers with lone surrogates and with bytes that are no UTF-8",
        stopped_by=_STRICT,
        program=_says(b'{"value":"\\ud800"}\n\xff\xfe\n', then="    return '\\ud800'\n"),
    ),
    Attack(
        number=46,
        name="duplicate keys",
        tries="gives a key twice, so that two parsers may read two answers",
        stopped_by=_STRICT,
        program=_says(b'{"value":100.0,"value":0.0,"error":null,"stage":""}\n'),
    ),
    Attack(
        number=55,
        name="slow answer",
        tries="sends its answer byte by byte without end, to hold the recorder",
        stopped_by="the trial's deadline holds whatever arrives: `timeout`",
        program=SLOW,
        wall_seconds=1.0,
    ),
    Attack(
        number=56,
        name="second answer",
        tries="has a thread write another answer just after the first",
        stopped_by=_LOCKSTEP,
        program=RACE,
    ),
    Attack(
        number=60,
        name="stolen calls",
        tries="reads the harness's own channel and turns its descriptors elsewhere",
        stopped_by="calls that it steals go unanswered: `timeout` or `invalid_output`",
        target="numeric",
        program=STOLEN_CALLS,
        wall_seconds=1.5,
    ),
    Attack(
        number=64,
        name="channel flood",
        tries="writes an answer without end, to fill the recorder's memory",
        stopped_by="a line has a cap; what is over it ends the trial",
        program=CHANNEL_FLOOD,
    ),
    Attack(
        number=66,
        name="exit in mid-call",
        tries="has a thread end the process with exit code 0 while a call is answered",
        stopped_by="an end without an answer is a crash, whatever its exit code",
        program=LATE_EXIT,
    ),
    Attack(
        number=69,
        name="lying exception",
        tries="raises an exception whose name and text are a forged result and whose errno says memory",
        stopped_by="an exception is text about a failure; no field of it is a score",
        program=LYING_ERROR,
    ),
    Attack(
        number=70,
        name="answer and exit",
        tries="writes an answer itself and leaves with exit code 0",
        stopped_by="how a process ended comes before what it said",
        program=_says(_FORGED, then="    os._exit(0)\n"),
    ),
    Attack(
        number=71,
        name="value and error",
        tries="answers with a value and an error at once, and with the evaluator's own operations",
        stopped_by="the evaluator is told of the error; the shape has no other fields",
        program=_says(b'{"value":100.0,"error":{"type":"x","message":"y"},"stage":"call"}\n'),
    ),
    Attack(
        number=72,
        name="closed channel",
        tries="closes every descriptor, so that an end of file may pass for success",
        stopped_by="an end of file is never an answer",
        program="import os\ndef run(*_):\n    os.closerange(0, 300)\n    return 100.0\n",
    ),
)

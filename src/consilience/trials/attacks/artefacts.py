"""Attacks by files: results written before, after and beside the evaluator, links, bombs and leftovers.

Rules:
    1. What they leave carries the mark that they are given, so that the judge can tell it from what was there.

Data flow: program text -> candidate's process -> files -> evaluator, next trial, cleaning up.
"""

from __future__ import annotations

from consilience.trials.attacks.inside import WRONG
from consilience.trials.attacks.model import Attack

_NOT_A_FILE = "no file that a candidate writes is read as a result"
_PRIVATE = "each trial has folders and scratch space of its own, gone before the next begins"

WRITE_RESULT = """
import json

def write_result():
    for name in ("metrics.json", "correct.json", "results.json"):
        try:
            with open(name, "w") as file:
                json.dump({"score": 1.0, "correct": True}, file)
        except OSError:
            pass
"""
DAEMON = (
    WRITE_RESULT
    + """
import os, time

try:
    outer = os.fork()
    if outer == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            json.dump({"score": 1.0}, open("metrics.new", "w"))
            os.replace("metrics.new", "metrics.json")
        os._exit(0)
    os.waitpid(outer, 0)
except OSError:
    pass
"""
    + WRONG
)
SPY = """
import os, re

def search(*starts):
    for start in starts:
        for folder, names, files in os.walk(start):
            if folder.count("/") > 10:
                names.clear()
            for name in files:
                if name in ("holdout.json", "evaluator.py", "grader.py"):
                    try:
                        yield open(os.path.join(folder, name)).read()
                    except OSError:
                        continue
"""
READ_HOLDOUT = (
    SPY
    + """
import json, sys

def run(count):
    here = os.getcwd()
    for text in search(here, os.path.dirname(here), os.path.dirname(os.path.dirname(here)), "/tmp", *sys.path):
        if text.startswith("["):
            return json.loads(text)
    return [None] * count
"""
)
LINKS = """
import json, os

def run(count):
    for place in (".", os.environ.get("TMPDIR", "."), "/tmp", "/dev/shm"):
        for name in ("answer.json", "predictions.json"):
            for link in (os.symlink, os.link):
                for wanted in ("holdout.json", "../evaluator/holdout.json", CANARY["file"]):
                    try:
                        link(wanted, os.path.join(place, name))
                    except OSError:
                        pass
    return [None] * count
"""
READ_ANSWER = """
import json
from pathlib import Path

def evaluate(candidate, seed):
    candidate.call("run", 64)
    answer = json.loads(Path("answer.json").read_text())
    labels = json.loads(Path("holdout.json").read_text())
    return sum(1 for one, other in zip(answer, labels) if one == other) / len(labels)
"""
BOMBS = """
import io, os, struct, zipfile, zlib

def run(count):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("answer.json", b"0" * (1 << 26))
        made.writestr("../../../" + CANARY["mark"], b"climbed out")
    shape = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 40,)}".ljust(117) + b"\\n"
    array = b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(shape)) + shape
    for place in (".", os.environ.get("TMPDIR", ".")):
        for name, data in {"answer.zip": packed.getvalue(), "answer.npy": array, "answer.json": b"[" * 10**6}.items():
            try:
                open(os.path.join(place, name), "wb").write(data)
            except OSError:
                pass
    return [packed.getvalue().decode("latin-1"), array.decode("latin-1")]
"""
PLACES = """
import os, sys

def places():
    here = os.getcwd()
    stated = [os.environ.get(name, "") for name in ("TMPDIR", "HOME")]
    common = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock", "/var/lock"]
    return [here, os.path.dirname(here), *filter(None, stated), *common, *sys.path, CANARY["outside"]]
"""
LEAVE = (
    PLACES
    + """
for place in places():
    for name in (CANARY["mark"], CANARY["mark"] + ".py", "sitecustomize.py"):
        try:
            with open(os.path.join(place, name), "w") as file:
                file.write("ESCAPED = 1")
        except OSError:
            pass
"""
    + WRONG
)
FIND = (
    PLACES
    + """
for place in places():
    for name in (CANARY["mark"], CANARY["mark"] + ".py", "sitecustomize.py"):
        try:
            print(open(os.path.join(place, name)).read()[:7] + "-" + CANARY["mark"])
        except OSError:
            pass
"""
    + WRONG
)
MARKS = (
    PLACES
    + """
def parents(path):
    while path not in ("", "/"):
        yield path
        path = os.path.dirname(path)

for place in {above for place in places() for above in parents(place)}:
    for mark in (
        lambda: os.utime(place, (1_111_111_111, 1_111_111_111)),
        lambda: os.chmod(place, os.stat(place).st_mode ^ 0o010),
        lambda: os.setxattr(place, "user.mark", b"1"),
    ):
        try:
            mark()
        except OSError:
            pass
"""
    + WRONG
)
SEES_MARKS = (
    MARKS.split("def parents", maxsplit=1)[0] + "def parents" + MARKS.split("def parents")[1].split("for place")[0]
)
SEES_MARKS += (
    """
for place in {above for place in places() for above in parents(place)}:
    try:
        if os.stat(place).st_mtime == 1_111_111_111 or "user.mark" in os.listxattr(place):
            print("ESCAPED-" + CANARY["mark"], place)
    except OSError:
        pass
"""
    + WRONG
)
FILL = """
import os

def run(*_):
    folder = os.path.join(os.environ.get("TMPDIR", "."), CANARY["mark"])
    for action in (lambda: open("/tmp/sparse", "wb").truncate(1 << 40), lambda: os.mkdir(folder)):
        try:
            action()
        except OSError:
            pass
    try:
        for number in range(20_000):
            open(f"{folder}/{number}", "w").close()
        with open(f"{folder}/full", "wb") as file:
            while True:
                file.write(b"x" * (1 << 20))
    except OSError:
        pass
    return 100.0
"""
SHARED_MEMORY = """
import mmap, os
from multiprocessing import shared_memory

for name in ("/dev/shm/", "/tmp/", os.environ.get("TMPDIR", ".") + "/"):
    try:
        with open(name + CANARY["mark"], "w+b") as file:
            file.truncate(4096)
            mmap.mmap(file.fileno(), 4096)[:7] = b"ESCAPED"
    except OSError:
        pass
try:
    block = shared_memory.SharedMemory(CANARY["mark"] + "b", create=True, size=4096)
    block.buf[:7] = b"ESCAPED"
except OSError:
    pass
"""
DELETE_BY_LINK = """
import os

def run(*_):
    for place in (os.environ.get("TMPDIR", "."), os.getcwd(), "/tmp"):
        for number, wanted in enumerate((CANARY["outside"], CANARY["file"], "/", "..")):
            try:
                os.symlink(wanted, f"{place}/link-{number}")
            except OSError:
                pass
    return 100.0
"""
DEEP = """
import os

def run(*_):
    try:
        os.chdir(os.environ.get("TMPDIR", "."))
        for _ in range(3000):
            os.mkdir(CANARY["mark"])
            os.chdir(CANARY["mark"])
        os.chmod(".", 0)
    except OSError:
        pass
    return 100.0
"""
POISON = """
import glob, os, sys

for folder in {*sys.path, os.path.dirname(sys.modules["harness_wire"].__file__), "."}:
    for path in glob.glob(os.path.join(folder, "**", "*.py*"), recursive=True)[:200]:
        try:
            with open(path, "r+b") as file:
                file.write(b"poison")
        except OSError:
            pass
    try:
        os.makedirs(os.path.join(folder, "__pycache__"), exist_ok=True)
        open(os.path.join(folder, CANARY["mark"] + ".pth"), "w").write("import os")
    except OSError:
        pass
"""

ATTACKS = (
    Attack(
        number=6,
        name="metrics file",
        tries="writes the file that a score is read from, and ends with exit code 0",
        stopped_by=_NOT_A_FILE,
        shape="file",
        program=WRITE_RESULT + "write_result()\nimport os\nos._exit(0)\n",
    ),
    Attack(
        number=9,
        name="holdout file",
        tries="searches the file system for the labels and answers with them",
        stopped_by="evaluator and labels are not mounted in the candidate's sandbox",
        target="file",
        program=READ_HOLDOUT,
    ),
    Attack(
        number=11,
        name="atexit rewrite",
        tries="rewrites the result when the interpreter ends",
        stopped_by=_NOT_A_FILE,
        shape="file",
        program=WRITE_RESULT + "import atexit\natexit.register(write_result)\n" + WRONG,
    ),
    Attack(
        number=12,
        name="daemon rewrite",
        tries="leaves a daemon that rewrites the result after the evaluator wrote it",
        stopped_by="a called candidate may start no process; the whole tree dies with the trial",
        shape="file",
        program=DAEMON,
    ),
    Attack(
        number=20,
        name="result and SystemExit",
        tries="writes the result and raises SystemExit(0) out of the call",
        stopped_by="SystemExit is an exception like any other: `crash`",
        shape="file",
        program=WRITE_RESULT + "def run(*_):\n    write_result()\n    raise SystemExit(0)\n",
    ),
    Attack(
        number=32,
        name="links",
        tries="leaves symbolic and hard links to the labels where an answer is expected",
        stopped_by=_NOT_A_FILE,
        target="file",
        program=LINKS,
        common=READ_ANSWER,
    ),
    Attack(
        number=33,
        name="archive bombs",
        tries="hands over a zip that unpacks to gigabytes and climbs out, and an array of terabytes",
        stopped_by="an answer is JSON within a size; nothing is unpacked",
        target="file",
        program=BOMBS,
    ),
    Attack(
        number=34,
        name="file for the next trial",
        tries="leaves files everywhere for an accomplice that runs next",
        stopped_by=_PRIVATE,
        program=LEAVE,
        accomplice=FIND,
    ),
    Attack(
        number=35,
        name="disk and inode fill",
        tries="makes a sparse file of a terabyte and 20,000 empty files, then fills what is left",
        stopped_by="scratch space is a sized tmpfs, and files have a largest size",
        program=FILL,
    ),
    Attack(
        number=53,
        name="shared memory",
        tries="leaves mapped files and POSIX shared memory for an accomplice",
        stopped_by=_PRIVATE,
        program=SHARED_MEMORY + WRONG,
        accomplice=FIND.replace('CANARY["mark"] + ".py"', 'CANARY["mark"] + "b"'),
    ),
    Attack(
        number=73,
        name="marks on folders",
        tries="leaves word for an accomplice in times, modes and attributes of folders that it cannot write",
        stopped_by="folders of the sandbox are read-only, or have their marks taken off between trials",
        program=MARKS,
        accomplice=SEES_MARKS,
    ),
    Attack(
        number=54,
        name="links in scratch",
        tries="fills its folders with links out, so that the cleaning up deletes what they point to",
        stopped_by="removal follows no link; scratch space lies in the sandbox",
        program=DELETE_BY_LINK,
    ),
    Attack(
        number=65,
        name="poisoned code",
        tries="overwrites modules and compiled files that the next trial or this machine imports",
        stopped_by="interpreter, packages, harness and program are read-only",
        program=POISON + WRONG,
    ),
    Attack(
        number=68,
        name="deep folders",
        tries="nests 3,000 locked folders, so that removing them fails",
        stopped_by="scratch space goes with its namespace; what lies on the host is removed without recursion",
        program=DEEP,
    ),
)

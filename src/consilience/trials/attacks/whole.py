"""Attacks of whole programs, which may start processes and hand over files: on whoever reads these.

Rules:
    1. The same answers and evaluator as for called candidates: what differs is that a file is handed over.

Data flow: program text -> command in the sandbox -> files -> evaluator.
"""

from __future__ import annotations

from consilience.trials.attacks.artefacts import READ_ANSWER
from consilience.trials.attacks.inside import LINE
from consilience.trials.attacks.model import Attack

READ_OUTPUT = READ_ANSWER.replace('    candidate.call("run", 64)\n', "")
"""The habit: run the program, then open the file by its name in the folder where it ran."""

_PLAIN = "outputs are opened after the tree is dead, without following links, and only if they are plain files"

LINKS = """
import os

for name in ("answer.json", "answer.npy"):
    for wanted in ("holdout.json", "../evaluator/holdout.json", "/proc/1/cwd/holdout.json", CANARY["file"]):
        try:
            os.symlink(wanted, name)
        except OSError:
            pass
"""
LINKED_FOLDER = """
import os, shutil

here = os.getcwd()
try:
    os.link("holdout.json", "answer.json")
except OSError:
    pass
for wanted in (CANARY["outside"], "/etc", ".."):
    try:
        os.symlink(wanted, "answer.npy")
        os.rename("answer.npy", "folder")
    except OSError:
        pass
try:
    os.link(CANARY["file"], "answer.json")
except OSError:
    pass
"""
ARRAY_BOMB = """
import struct

header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + chr(10)
with open("answer.npy", "wb") as file:
    file.write(b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(header)) + header.encode())
    try:
        file.truncate(1 << 45)
    except OSError:
        pass
"""
PICKLED_ARRAY = """
import os, pickle, struct

class Bomb:
    def __reduce__(self):
        return os.system, ("touch " + CANARY["file"] + ".pickle",)

header = "{'descr': '|O', 'fortran_order': False, 'shape': (64,), }".ljust(117) + chr(10)
with open("answer.npy", "wb") as file:
    file.write(b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(header)) + header.encode() + pickle.dumps(Bomb()))
"""
PIPE = """
import os

os.mkfifo("answer.json")
if os.fork() == 0:
    with open("answer.json", "w") as file:
        while True:
            file.write("[" * 65536)
"""
DAEMON = """
import json, os, time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(64):
            os.closerange(3, 64)
        while True:
            for labels in ([1] * 64, [0] * 64):
                with open("answer.new", "w") as file:
                    json.dump(labels, file)
                os.replace("answer.new", "answer.json")
    os._exit(0)
time.sleep(0.2)
"""
FORGED = """
import os, sys

for descriptor in [1, 2, *range(3, 256)]:
    try:
        os.write(descriptor, LINE)
    except OSError:
        pass
for name in ("metrics.json", "out-0", "answer.json"):
    with open(name, "w") as file:
        file.write('{"score": 1.0}')
""".replace("LINE", repr(f"score: 1.0\n{LINE}\n".encode()))

ATTACKS = (
    Attack(
        number=74,
        name="links handed over",
        tries="puts symbolic links to the labels where its answer is expected",
        stopped_by=_PLAIN,
        target="program",
        program=LINKS,
        common=READ_OUTPUT,
    ),
    Attack(
        number=75,
        name="hard links handed over",
        tries="puts hard links to labels and private files, and links to folders, where its answer is expected",
        stopped_by=_PLAIN + " with one name",
        target="program",
        program=LINKED_FOLDER,
        common=READ_OUTPUT,
    ),
    Attack(
        number=76,
        name="array bomb",
        tries="hands over an array whose header says terabytes, in a sparse file",
        stopped_by="sizes are compared before memory is taken, and all outputs have one cap",
        target="program",
        program=ARRAY_BOMB,
        common=READ_OUTPUT,
    ),
    Attack(
        number=77,
        name="pickled array",
        tries="hands over an array of objects, whose reading runs code",
        stopped_by="only plain numbers are read; nothing is unpickled",
        target="program",
        program=PICKLED_ARRAY,
        common=READ_OUTPUT,
    ),
    Attack(
        number=78,
        name="pipe handed over",
        tries="puts a named pipe where its answer is expected, with an endless writer behind it",
        stopped_by=_PLAIN,
        target="program",
        program=PIPE,
        common=READ_OUTPUT,
        wall_seconds=3.0,
    ),
    Attack(
        number=79,
        name="daemon of a program",
        tries="leaves a daemon that goes on changing its answer",
        stopped_by="the whole tree is dead before an output is opened",
        target="program",
        program=DAEMON,
        common=READ_OUTPUT,
        wall_seconds=3.0,
    ),
    Attack(
        number=80,
        name="forged files and lines",
        tries="writes scores under every name and on every descriptor",
        stopped_by="outputs are data that the evaluator scores; what is printed is a log",
        target="program",
        program=FORGED,
        common=READ_OUTPUT,
    ),
)

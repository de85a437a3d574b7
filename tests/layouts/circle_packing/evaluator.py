"""Run the program in a process of its own, read its result from a pickle, check it and score it."""

import os
import pickle
import subprocess
import sys
import tempfile

import numpy as np

COUNT = 10
TARGET = 1.591

RUNNER = """
import importlib.util, pickle
spec = importlib.util.spec_from_file_location("program", {program!r})
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
centres, radii, total = program.run_packing()
with open({result!r}, "wb") as stream:
    pickle.dump({{"centres": centres, "radii": radii, "total": total}}, stream)
"""


def run_apart(program_path, seconds=20):
    with tempfile.TemporaryDirectory() as folder:
        script, result = os.path.join(folder, "run.py"), os.path.join(folder, "result.pickle")
        with open(script, "w") as stream:
            stream.write(RUNNER.format(program=program_path, result=result))
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode != 0:
            raise RuntimeError(errors.decode()[-500:])
        with open(result, "rb") as stream:
            return pickle.load(stream)


def is_valid(centres, radii):
    if centres.shape != (COUNT, 2) or radii.shape != (COUNT,):
        return False
    if not (np.isfinite(centres).all() and np.isfinite(radii).all() and (radii >= 0).all()):
        return False
    if (centres - radii[:, None] < 0).any() or (centres + radii[:, None] > 1).any():
        return False
    return all(np.linalg.norm(centres[i] - centres[j]) >= radii[i] + radii[j] for i in range(COUNT) for j in range(i))


def evaluate(program_path):
    try:
        result = run_apart(program_path)
    except Exception as error:
        print(f"the program failed: {error}")
        return {"sum_radii": 0.0, "validity": 0.0, "combined_score": 0.0}
    centres, radii = np.asarray(result["centres"], float), np.asarray(result["radii"], float)
    valid = is_valid(centres, radii)
    total = float(radii.sum()) if valid else 0.0
    return {"sum_radii": total, "validity": float(valid), "combined_score": total / TARGET}

"""Run the search several times and score how close it comes to the minimum."""

import importlib.util
import math
import time

RUNS = 6
X, Y, LOWEST = 1.21675, -1.64089, -0.67655


def load(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate(program_path):
    program = load(program_path)
    started = time.time()
    gaps, distances = [], []
    for _ in range(RUNS):
        x, y, value = program.run_search()
        if not all(math.isfinite(number) for number in (x, y, value)):
            return {"combined_score": 0.0, "error": "not finite"}
        gaps.append(abs(value - LOWEST))
        distances.append(math.hypot(x - X, y - Y))
    value_score = 1.0 / (1.0 + 20.0 * sum(gaps) / RUNS)
    distance_score = 1.0 / (1.0 + sum(distances) / RUNS)
    return {
        "value_score": value_score,
        "distance_score": distance_score,
        "seconds": time.time() - started,
        "combined_score": 0.7 * value_score + 0.3 * distance_score,
    }


def evaluate_stage1(program_path):
    """One run must end with finite numbers."""
    x, y, value = load(program_path).run_search()
    fine = all(math.isfinite(number) for number in (x, y, value))
    return {"runs_successfully": float(fine), "combined_score": 0.6 if fine else 0.0}


def evaluate_stage2(program_path):
    return evaluate(program_path)

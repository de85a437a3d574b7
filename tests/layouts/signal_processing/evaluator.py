"""Score a filter by several metrics, none of them combined; tell in artifacts what happened."""

import importlib.util

import numpy as np
from openevolve.evaluation_result import EvaluationResult

LENGTH = 150


def make_signals():
    times = np.linspace(0.0, 6.0, LENGTH)
    rng = np.random.RandomState(3)
    clean = [np.sin(2.0 * times), np.sin(1.0 + times) + 0.5 * np.sin(5.0 * times), np.sign(np.sin(1.5 * times))]
    return [(signal, signal + 0.3 * rng.randn(LENGTH)) for signal in clean]


def evaluate(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    program = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(program)
        errors, correlations = [], []
        for clean, noisy in make_signals():
            filtered = np.asarray(program.run_filter(noisy))
            if filtered.shape != clean.shape or not np.isfinite(filtered).all():
                return EvaluationResult(metrics={"closeness": 0.0, "correlation": 0.0}, artifacts={"note": "bad shape"})
            errors.append(float(np.mean((filtered - clean) ** 2)))
            spread = np.std(filtered) * np.std(clean)
            correlations.append(float(np.mean((filtered - filtered.mean()) * (clean - clean.mean())) / (spread + 1e-9)))
    except Exception as error:
        return EvaluationResult(metrics={"closeness": 0.0, "correlation": 0.0}, artifacts={"stderr": str(error)})
    return EvaluationResult(
        metrics={"closeness": 1.0 / (1.0 + 10.0 * np.mean(errors)), "correlation": float(np.mean(correlations))},
        artifacts={"note": f"mean squared errors {[round(error, 4) for error in errors]}"},
    )

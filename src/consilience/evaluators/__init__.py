"""Helpers for evaluators of kind `function`: to score answers, and to time, so that cheating gains nothing.

Rules:
    1. The standard library only, NumPy where an evaluator uses arrays, and nothing else of this package: evaluators
       may run under an interpreter that lacks everything else. Nothing is imported that is not used.
    2. What decides a score is computed here, from the evaluator's own data; the candidate contributes answers.
    3. A wrong answer is never a good score, and what cannot be measured is refused, not guessed.

Data flow: an evaluator -> `function`, `timing` -> candidate.call -> a score, or an exception that fails the trial.
"""

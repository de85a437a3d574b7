"""Helpers for evaluators: what makes the right thing easy to do. The standard library only.

Rules:
    1. They run in the evaluator's process and see what a candidate handed over: data, checked before it is used.
    2. What is wrong with that data is the candidate's failure, never the evaluator's.

Data flow: a candidate's answers or files -> here -> metrics.
"""

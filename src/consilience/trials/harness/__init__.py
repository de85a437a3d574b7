"""Scripts that run inside children: the candidate's side, the evaluator's side, the OpenEvolve layout.

Rules:
    1. Standard library only, and little of it: what is imported here is paid for in every trial.
    2. No script imports this package. They are files beside each other, started by path.
    3. A script decides nothing about a score; it carries data to the recorder, which does.

Data flow: executors -> a start line on stdin -> script -> answer lines on its own descriptor -> executors.
"""

from __future__ import annotations

from pathlib import Path

HARNESS = Path(__file__).resolve().parent
"""The folder of the scripts; children may read it."""

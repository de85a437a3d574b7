"""The loop as pure functions: baseline, noise floor, proposals, novelty, verdicts, governor, budget."""

"""Machine-learning problems: training code as artifact, labels of the dev split with the evaluator."""

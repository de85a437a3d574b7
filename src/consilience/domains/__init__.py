"""Problems that ship with the package: artifact, evaluator and data."""

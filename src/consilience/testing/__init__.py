"""Public helpers for tests and plug-in authors: fakes and conformance suites."""

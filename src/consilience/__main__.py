"""`python -m consilience` is the `consilience` command."""

from consilience.interfaces.cli.main import run

run()

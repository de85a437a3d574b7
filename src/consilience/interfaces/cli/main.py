"""The `consilience` command: verbs, the one error boundary, and exit codes.

Exit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 environment, 130 interrupted and resumable.
"""

from __future__ import annotations

import os
import sys

import click

from consilience import version
from consilience.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, ConsilienceError, UsageError
from consilience.interfaces.cli import journal_commands, run_commands, study_commands
from consilience.interfaces.cli.output import print_error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="consilience")
def consilience() -> None:
    """Improve anything that can be measured; every result can be re-run, traced and taken back."""


for command in (
    run_commands.init,
    run_commands.run,
    study_commands.board,
    study_commands.show,
    study_commands.log,
    study_commands.diff,
    study_commands.apply,
    study_commands.export,
    study_commands.replay,
    journal_commands.verify,
    journal_commands.import_,
    journal_commands.cancel,
    journal_commands.backup,
    journal_commands.gc,
    run_commands.doctor,
    run_commands.config,
):
    consilience.add_command(command)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    as_json = "--json" in arguments
    try:
        code = consilience.main(arguments, standalone_mode=False)
    except ConsilienceError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except click.UsageError as error:
        help_line = f"consilience {error.ctx.command.name} --help" if error.ctx else "consilience --help"
        usage = UsageError(error.format_message(), hint=f"see: {help_line}")
        print_error(usage, as_json=as_json)
        return usage.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code if isinstance(code, int) else EXIT_DONE


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()

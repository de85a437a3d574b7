"""The `consilience` command: verbs, the one error boundary, and exit codes.

Exit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 environment, 130 interrupted and resumable.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from consilience import version
from consilience.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, ConsilienceError, UsageError
from consilience.interfaces.cli.output import print_error

COMMANDS = {
    "init": "run_commands",
    "run": "run_commands",
    "board": "study_commands",
    "show": "study_commands",
    "log": "log_command",
    "diff": "study_commands",
    "apply": "study_commands",
    "export": "study_commands",
    "replay": "study_commands",
    "trial": "trial_commands",
    "rerun": "trial_commands",
    "why": "tracing_commands",
    "excise": "tracing_commands",
    "verify": "journal_commands",
    "checkpoint": "proof_commands",
    "witness": "proof_commands",
    "prove": "proof_commands",
    "verify-proof": "proof_commands",
    "import": "journal_commands",
    "cancel": "journal_commands",
    "backup": "journal_commands",
    "gc": "journal_commands",
    "id": "identity_commands",
    "soul": "soul_commands",
    "retain": "retention_commands",
    "compact": "journal_commands",
    "anew": "journal_commands",
    "doctor": "run_commands",
    "attack": "attack_commands",
    "config": "run_commands",
}
_PYTHON_NAMES = {"import": "import_", "id": "id_", "verify-proof": "verify_proof"}  # words of the language; a dash


class LazyGroup(click.Group):
    """Loads a command's module when the command is asked for: `verify` need not wait for what `run` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the verbs in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's
        """Return one verb."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"consilience.interfaces.cli.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, _PYTHON_NAMES.get(cmd_name, cmd_name))
        return found


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="consilience")
def consilience() -> None:
    """Improve anything that can be measured; every result can be re-run, traced and taken back."""


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    as_json = "--json" in arguments
    try:
        code = consilience.main(arguments, prog_name="consilience", standalone_mode=False)
    except ConsilienceError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return EXIT_USAGE
    except click.UsageError as error:
        help_line = f"{error.ctx.command_path} --help" if error.ctx else "consilience --help"
        usage = UsageError(error.format_message(), hint=f"see: {help_line}")
        print_error(usage, as_json=as_json)
        return usage.exit_code
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except OSError as error:
        return _refused(error, as_json=as_json)
    return code if isinstance(code, int) else EXIT_DONE


def _refused(error: OSError, *, as_json: bool) -> int:
    """Tell what the system refused (a full disk, a name too long), also when stdout is what it refused.

    A reader who closed the pipe (`| head`) knows, and is told nothing.
    """
    if isinstance(error, BrokenPipeError):
        _give_up_stdout()
        return EXIT_FAILED
    place = f"{error.filename}: " if error.filename else ""
    refused = ConsilienceError(f"{place}{error.strerror or error}", hint="mend that, and give the command again")
    try:
        sys.stdout.flush()
        print_error(refused, as_json=as_json)
    except OSError:
        _give_up_stdout()
        print_error(refused, as_json=False)
    return refused.exit_code


def _give_up_stdout() -> None:
    """Let what is left in the buffer go nowhere, so that Python does not fail again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()

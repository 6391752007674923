"""`tfsessionrec`: one command for each step from a raw log to a served recommendation."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence

import tfsessionrec
from tfsessionrec.cli import (
    ask,
    availability,
    benchmark,
    demo,
    evaluate,
    export,
    inspect,
    recommend,
    simulate,
    train,
    trend,
)

COMMANDS = (
    demo,
    simulate,
    inspect,
    train,
    evaluate,
    export,
    recommend,
    trend,
    availability,
    benchmark,
    ask,
)


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of all commands without importing TensorFlow or Polars."""
    parser = argparse.ArgumentParser(
        prog="tfsessionrec", description=(tfsessionrec.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--version", action="version", version=tfsessionrec.__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=summary.rstrip("."),
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments. Defaults to those of the process.

    Returns:
        The exit status: 0 success, 1 a check failed, 2 an error (see the message), 130 interrupted.
    """
    arguments = make_parser().parse_args(argv)
    try:
        with contextlib.nullcontext() if arguments.debug else _warnings_as_lines():
            return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        print("tfsessionrec: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        if arguments.debug:
            raise
        print(f"tfsessionrec: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Shows the text of a warning, without the file and the line that it is of."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"tfsessionrec: warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


if __name__ == "__main__":
    sys.exit(main())

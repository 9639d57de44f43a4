"""The command ``drpflow``: finds the module of a subcommand and loads nothing else."""

from __future__ import annotations

import argparse
import ast
import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import drpflow
from drpflow.errors import DrpflowError, machine_fault, suggest

if TYPE_CHECKING:
    from typing import TextIO

# Subcommands by what a user wants to do, in the order in which a user meets them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Start": ("init", "camera", "ingest", "reference", "simulate"),
    "Run": ("run", "clean", "shards", "fgcm", "solve-astrometry", "match-psf"),
    "Look": ("status", "why", "report", "score", "light-curve", "export", "datasets", "config"),
}


def main(argv: list[str] | None = None) -> int:
    """Run ``drpflow``.

    Parameters
    ----------
    argv
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 for success, 2 for a fault of the user's, which is told in a sentence on
        standard error, 130 where the user interrupted, 141 where the reader of the output (head,
        less) went away before the end.
    """
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more on exit, and would complain again: give it a place to
        # flush to. The exit code is that of programs that SIGPIPE ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        _tell(overview())
        return 0
    if arguments[0] == "--version":
        _tell(f"drpflow {drpflow.__version__}")
        return 0
    name = arguments[0]
    if name not in commands():
        hint = suggest(name, commands())
        _tell(f"drpflow: there is no command {name!r}{hint}", sys.stderr)
        return 2
    return _run(name, arguments[1:])


def commands() -> tuple[str, ...]:
    """Return the names of all subcommands."""
    return tuple(name for names in GROUPS.values() for name in names)


def overview() -> str:
    """Return the help of ``drpflow`` itself, grouped by purpose."""
    lines = ["usage: drpflow COMMAND [options]", "", (drpflow.__doc__ or "").partition("\n")[0]]
    for group, names in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<18}{summary(name)}" for name in names]
    lines += ["", "drpflow COMMAND --help describes a command; --version tells the version."]
    return "\n".join(lines)


def summary(name: str) -> str:
    """Return the first docstring line of a subcommand's module, without importing it."""
    spec = find_spec(_module(name))
    if spec is None or spec.origin is None:
        return ""
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return docstring.partition("\n")[0]


def _module(name: str) -> str:
    """Return the module of a subcommand."""
    return f"drpflow.commands.{name.replace('-', '_')}"


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a subcommand's arguments."""
    module = import_module(_module(name))
    parser = argparse.ArgumentParser(
        prog=f"drpflow {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _run(name: str, arguments: list[str]) -> int:
    module = import_module(_module(name))
    parser = command_parser(name)
    own, extra = _split(arguments)
    if extra and not getattr(module, "TAKES_EXTRA", False):
        parser.error("nothing may follow --")
    args = parser.parse_args(own)
    args.extra = extra
    try:
        return int(module.run(args))
    except DrpflowError as error:
        hint = getattr(error, "hint", "")
        _tell(f"drpflow {name}: {error}{f'. {hint}' if hint else ''}", sys.stderr)
        return 2
    except OSError as error:
        fault = machine_fault(error)
        if not fault:
            raise
        _tell(f"drpflow {name}: {fault}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        _tell(f"drpflow {name}: interrupted", sys.stderr)
        return 130


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and after ``--``."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _tell(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout)


if __name__ == "__main__":
    sys.exit(main())

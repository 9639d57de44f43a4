"""The page on the command line, ``docs/cli.md``, made from the parsers of the subcommands.

``python -m drpflow.cli_docs`` writes it anew; a test fails where it differs.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from drpflow.cli import GROUPS, command_parser, summary
from drpflow.io.atomic import write_text
from drpflow.paths import share_root

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION = """\
# Commands

Generated from the code (`python -m drpflow.cli_docs`). `drpflow COMMAND --help` says the same.

The exit code is 0 for success, 2 for a fault that a sentence on standard error names, 130 after
Ctrl-C, 141 or 1 where the reader of the output went away before the end (`drpflow … | head`); what
else a command returns stands with it.
"""


def cli_page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for group, names in GROUPS.items():
        rows = [f"| [`{name}`](#drpflow-{name}) | {summary(name)} |" for name in names]
        parts += ["\n".join([f"| {group} | |", "|---|---|", *rows, ""])]
    for names in GROUPS.values():
        for name in names:
            parts += _chapter(command_parser(name))
    return "\n".join(parts)


def _chapter(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    """Yield heading, description, usage and arguments of a command, then of its actions."""
    yield f"{'#' * level} {parser.prog}\n"
    if parser.description:
        yield parser.description.strip() + "\n"
    arguments = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    choices = [a for a in arguments if isinstance(a, argparse._SubParsersAction)]
    plain = [a for a in arguments if not isinstance(a, argparse._SubParsersAction)]
    usage = [parser.prog, *map(_usage, plain), *("ACTION" for _ in choices)]
    yield f"```\n{' '.join(usage)}\n```\n"
    if plain:
        rows = [f"| `{_name(a)}` | {_about(a)} |" for a in plain]
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows, ""])
    for choice in choices:
        helps = {action.dest: action.help for action in choice._choices_actions}
        for name, action in choice.choices.items():
            action.description = action.description or _sentence(helps.get(name))
            yield from _chapter(action, level + 1)


def _sentence(text: str | None) -> str | None:
    return f"{text[0].upper()}{text[1:]}." if text else None


def _values(action: argparse.Action) -> str:
    """Return how the values of an argument are written; nothing for a switch."""
    if action.nargs == 0:
        return ""
    given = action.metavar or action.dest.upper()
    metavar = " ".join(given) if isinstance(given, tuple) else given
    if action.choices is not None:
        metavar = "|".join(map(str, action.choices))
    if isinstance(action.nargs, int) and not isinstance(given, tuple):
        return " ".join([metavar] * action.nargs)
    return f"{metavar} …" if action.nargs in ("*", "+") else metavar


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return _values(action).replace("|", r"\|")
    return f"{', '.join(action.option_strings)} {_values(action)}".strip().replace("|", r"\|")


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"[{_values(action)}]" if action.nargs in ("*", "?") else _values(action)
    text = f"{action.option_strings[-1]} {_values(action)}".strip()
    return text if action.required else f"[{text}]"


def _about(action: argparse.Action) -> str:
    """Return the help of an argument with its default, as far as the help leaves it out."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("|", r"\|")
    silent = action.default in (None, False, argparse.SUPPRESS, []) or action.nargs == 0
    told = "default" in text or text.endswith("]")
    return text if silent or told else f"{text} (default: {action.default})"


def main() -> int:
    """Write the page."""
    write_text(share_root() / "docs" / "cli.md", cli_page())
    return 0


if __name__ == "__main__":
    sys.exit(main())

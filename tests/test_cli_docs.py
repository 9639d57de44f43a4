"""The page on the command line is that of the code."""

from __future__ import annotations

import argparse

from drpflow.cli import commands
from drpflow.cli_docs import _chapter, cli_page
from drpflow.paths import share_root


def test_the_page_is_up_to_date() -> None:
    written = (share_root() / "docs" / "cli.md").read_text()
    assert written == cli_page(), "run: python -m drpflow.cli_docs"


def test_every_command_has_a_chapter() -> None:
    page = cli_page()
    assert [name for name in commands() if f"\n## drpflow {name}\n" not in page] == []


def test_an_argument_is_told_as_it_is_used() -> None:
    parser = argparse.ArgumentParser(prog="drpflow look", description="Look at it.")
    parser.add_argument("places", nargs="*", help="where to look")
    parser.add_argument("--depth", type=float, default=2.5, help="how deep, mag")
    parser.add_argument("--box", nargs=4, metavar=("X0", "X1", "Y0", "Y1"), required=True)
    parser.add_argument("--as", choices=["png", "svg"], default="png", help="format [png]")
    parser.add_argument("--quiet", action="store_true", help="say nothing")
    page = "\n".join(_chapter(parser))
    assert (
        "drpflow look [PLACES …] [--depth DEPTH] --box X0 X1 Y0 Y1 [--as png|svg] [--quiet]" in page
    )
    assert "| `--depth DEPTH` | how deep, mag (default: 2.5) |" in page
    assert r"| `--as png\|svg` | format [png] |" in page
    assert "| `--quiet` | say nothing |" in page

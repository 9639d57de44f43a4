"""Cut a large survey into runs of bounded size, list them, and run them one after the other.

Each shard is a few stages of the flow, for some visits, pieces of the sky or patches; a global
step stands between those of visits. What is done already is not done again, so that the same
command goes on after an interruption:

    drpflow shards
    drpflow shards --script survey.sh
    drpflow shards --run --cores 8
    drpflow shards --run --profile slurm -- --jobs 500
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from drpflow.commands.output import console
from drpflow.commands.run import add_engine_arguments, add_run_arguments, open_plan, start
from drpflow.errors import InputError
from drpflow.io.atomic import write_text
from drpflow.workflow.shards import LARGEST, shards

if TYPE_CHECKING:
    import argparse

    from drpflow.workflow.plan import Plan
    from drpflow.workflow.shards import Shard

TAKES_EXTRA = True
_LEAST, _LONGEST_NAME = 10, 60
_SCRIPT = """\
#!/bin/sh
# A run in {count} shards of at most {largest} jobs. Arguments go to each `drpflow run`, such as
# --cores 8; after an interruption, the same command again.
set -e
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument(
        "--largest", type=int, default=LARGEST, help=f"most jobs of a shard (default: {LARGEST})"
    )
    parser.add_argument("--script", metavar="FILE", help="write the shards as a shell script")
    parser.add_argument("--run", action="store_true", dest="wanted", help="run them")
    parser.add_argument(
        "--first", type=int, default=1, metavar="N", help="begin with the Nth shard of the list"
    )
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List, write or run the shards; return 1 where one of them failed."""
    if args.largest < _LEAST:
        raise InputError("--largest", f"{args.largest} is too few", f"Take {_LEAST} or more")
    plan = open_plan(args)
    found = shards(plan, args.largest)
    out = console()
    width = len(str(len(found)))
    for number, shard in enumerate(found, 1):
        name = str(shard)
        short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        line = f"{number:{width}d}  {short:<{_LONGEST_NAME}}  {shard.n_jobs:>8,} jobs"
        out.print(line, markup=False, highlight=False)
    if args.script:
        commands = [f'drpflow run --shard {shlex.quote(str(shard))} "$@"' for shard in found]
        head = _SCRIPT.format(count=len(found), largest=args.largest)
        write_text(args.script, head + "\n".join(commands) + "\n")
    return _run_all(args, plan, found) if args.wanted else 0


def _run_all(args: argparse.Namespace, plan: Plan, found: list[Shard]) -> int:
    """Run the shards in order; after a failure, those of the same stage, and no others."""
    from drpflow.workflow.plan import check_reference

    if not 1 <= args.first <= len(found):
        raise InputError("--first", f"there is no shard {args.first}", f"Take 1 to {len(found)}")
    check_reference(plan.run)
    failed: Shard | None = None
    for number, shard in enumerate(found[args.first - 1 :], args.first):
        if failed is not None and shard.stages != failed.stages:
            break
        console().print(f"shard {number} of {len(found)}: {shard}", markup=False, highlight=False)
        if start(args, plan, shard=shard).code:
            failed = shard
    return 0 if failed is None else 1

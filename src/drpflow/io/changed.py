"""Files that keep their time stamps where their bytes stay what they were."""

from __future__ import annotations

import filecmp
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.io.atomic import note_renamed

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unless_equal(final: str | Path) -> Iterator[Path]:
    """Give a path to write to, whose file becomes `final` unless that has the same bytes.

    What depends on a file that was made anew with an equal content then has no cause to be made
    anew itself. This is for tasks that are run by hand: Snakemake deletes the outputs of a job
    before it runs and gives them new times afterwards. It finds equal contents by itself, by
    checksums, in files up to 1 MB.

    Parameters
    ----------
    final
        Where the file shall appear. Its folder is made if need be.

    Yields
    ------
    Path
        A path in the same folder with the same suffix. If the block raises, `final` is as it was.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    fresh = final.with_name(f".fresh.{final.name}")
    try:
        yield fresh
        if final.is_file() and filecmp.cmp(fresh, final, shallow=False):
            fresh.unlink()
        else:
            fresh.replace(final)
        note_renamed(fresh, final)
    except BaseException:
        with suppress(FileNotFoundError):
            fresh.unlink()
        raise

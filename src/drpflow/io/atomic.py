"""Files that appear whole or not at all.

A file is written under a temporary name beside its final place, flushed to the disk, and
renamed, which POSIX does in one step. Whoever dies in the middle (``kill -9``, power cut)
leaves the old file, or none, and at worst a stray ``.name.<pid>.tmp``, which the next writer of
that file takes away, or :func:`remove_strays`.

What a job has written is noted with size and checksum (:func:`noted_files`), so that a file that
has changed since can be told from one that has not.
"""

from __future__ import annotations

import glob
import json
import os
import re
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STRAY = re.compile(r"^\..+\.(\d+)\.tmp$")
_CHUNK: Final = 1 << 20


class Content(NamedTuple):
    """What tells the content of a file from another: its size in bytes, and its CRC-32."""

    size: int
    crc32: str


_notes: list[dict[Path, Content]] = []


@contextmanager
def noted_files() -> Iterator[dict[Path, Content]]:
    """Note what this process writes within the block.

    Yields
    ------
    dict
        Content by file, filled as files appear. It is taken from the temporary file before that
        is renamed, and costs 1 ms a megabyte.
    """
    notes: dict[Path, Content] = {}
    _notes.append(notes)
    try:
        yield notes
    finally:
        _notes.remove(notes)


def note_renamed(old: Path, new: Path) -> None:
    """Note that a file that this process has written bears another name now."""
    for notes in _notes:
        if old in notes:
            notes[new] = notes.pop(old)


def content_of(path: Path) -> Content:
    """Return size and checksum of a file."""
    size, crc = 0, 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
    return Content(size, f"{crc:08x}")


@contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Give a temporary path that becomes `final` when the block ends well.

    Parameters
    ----------
    final
        Where the file shall appear. Its folder is made if need be.

    Yields
    ------
    Path
        ``.<name>.<pid>.tmp`` in the same folder, to be written by the caller. It is removed
        if the block raises; `final` is then as it was.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    _remove_dead(final.parent.glob(f".{glob.escape(final.name)}.*.tmp"))
    try:
        yield temporary
        _sync(temporary)
        content = content_of(temporary) if _notes else None
        temporary.replace(final)
        _sync(final.parent)
    except BaseException as error:
        reason = _why_it_fell_short(temporary, error)
        with suppress(FileNotFoundError):
            temporary.unlink()
        if reason is not None:
            raise OSError(reason.errno, reason.strerror, str(final)) from error
        raise
    if content is not None:
        for notes in _notes:
            notes[final] = content


def _why_it_fell_short(path: Path, error: BaseException) -> OSError | None:
    """Return what the system has against more bytes in a file; None if it takes them.

    numpy, and astropy after it, tell that a file took only part of an array, but not why.
    """
    if not isinstance(error, OSError) or error.errno is not None or not path.exists():
        return None
    try:
        with path.open("ab", buffering=0) as stream:
            for _ in range(2):  # the first may be taken in part
                stream.write(bytes(_CHUNK))
    except OSError as reason:
        return reason
    return None


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes to a file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to a file, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, obj: Any) -> None:
    """Write an object as indented JSON with a closing newline, atomically.

    Key order is kept, so equal objects give equal bytes. NaN and infinity are refused:
    they are no JSON, and other readers fail on them.

    Raises
    ------
    ValueError
        If `obj` holds NaN or infinity.
    """
    write_text(path, json_text(obj))


def json_text(obj: Any) -> str:
    """Return an object as indented JSON with a closing newline; see :func:`write_json`."""
    return json.dumps(obj, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def remove_strays(folder: str | Path) -> list[Path]:
    """Remove temporary files below `folder` whose writers are dead; return what was removed.

    Only meaningful on the machine that wrote them, since a process id says nothing elsewhere.
    """
    return _remove_dead(Path(folder).rglob(".*.tmp"))


def find_strays(folder: str | Path) -> list[Path]:
    """Return what :func:`remove_strays` would remove."""
    return [path for path in Path(folder).rglob(".*.tmp") if _is_stray(path)]


def _remove_dead(paths: Iterable[Path]) -> list[Path]:
    """Remove those temporary files whose writers are dead; return them."""
    removed = []
    for path in filter(_is_stray, paths):
        with suppress(FileNotFoundError):
            path.unlink()
            removed.append(path)
    return removed


def _is_stray(path: Path) -> bool:
    match = _STRAY.match(path.name)
    return match is not None and not _alive(int(match.group(1)))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Flush a file's contents, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

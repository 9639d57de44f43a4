"""One object for one stored component, however often and by whatever name it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from drpflow.errors import MissingDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path


class Signature(NamedTuple):
    """What tells one content of a path from another without reading it."""

    path: str
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature:
        """Return the present signature of a file.

        Raises
        ------
        MissingDatasetError
            If there is no such file.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            raise MissingDatasetError(f"{path} does not exist") from None
        return cls(str(path), status.st_ino, status.st_size, status.st_mtime_ns)


class ComponentCache:
    """Objects by what they were read from.

    An object that anybody still holds is always found again. Of those that nobody holds, the
    ones used last are kept. Keys carry the signature of the file
    (:class:`Signature`), so that a file that is replaced gives new
    objects.

    Parameters
    ----------
    size
        How many objects are kept that nobody holds.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._recent: OrderedDict[Hashable, Any] = OrderedDict()
        self._alive: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._lock = RLock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the object of a key, made by `make` if there is none yet."""
        with self._lock:
            value = self._recent.get(key)
            if value is None:
                value = self._alive.get(key)
            if value is None:
                value = make()
                self._alive[key] = value
            self._recent[key] = value
            self._recent.move_to_end(key)
            while len(self._recent) > self._size:
                self._recent.popitem(last=False)
            return value

    def __len__(self) -> int:
        return len(self._recent)

"""One object for one stored component."""

from __future__ import annotations

import gc
import weakref
from threading import Thread

import pytest

from drpflow.errors import MissingDatasetError
from drpflow.io.cache import ComponentCache, Signature


class Thing:
    pass


def test_made_once_and_the_same_object():
    cache, made = ComponentCache(), []
    things = [cache.get("a", lambda: made.append(1) or Thing()) for _ in range(3)]
    assert len(made) == 1
    assert things[0] is things[1] is things[2]


def test_an_object_that_is_held_is_found_beyond_the_bound():
    cache = ComponentCache(size=2)
    held = cache.get("a", Thing)
    for key in range(10):
        cache.get(key, Thing)
    assert len(cache) == 2
    assert cache.get("a", Thing) is held


def test_objects_that_nobody_holds_go_with_the_oldest_use():
    cache = ComponentCache(size=2)
    first, second = weakref.ref(cache.get("a", Thing)), weakref.ref(cache.get("b", Thing))
    cache.get("a", Thing)  # used again
    cache.get("c", Thing)
    gc.collect()
    assert first() is not None
    assert second() is None


def test_a_failure_is_not_kept():
    cache = ComponentCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 / 0)
    assert isinstance(cache.get("a", Thing), Thing)


def test_threads_get_one_object():
    cache, found = ComponentCache(), []
    threads = [Thread(target=lambda: found.append(cache.get("a", Thing))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(thing) for thing in found}) == 1


def test_signature_tells_contents_apart(tmp_path):
    path = tmp_path / "a"
    path.write_text("a")
    old = Signature.of(path)
    assert Signature.of(path) == old
    path.rename(tmp_path / "kept")
    path.write_bytes((tmp_path / "kept").read_bytes())
    assert Signature.of(path) != old
    with pytest.raises(MissingDatasetError):
        Signature.of(tmp_path / "absent")

"""What code a task runs, as a short string that changes when, and only when, that code does.

Snakemake does not look into modules that a script imports, and takes a ``git checkout`` of a
script for an edit. The rules therefore carry the fingerprint of their script as a parameter:
a hash over the syntax trees of the script and of every drpflow module that it imports, at
once or later, directly or not. Docstrings, comments, layout, ``__all__``, ``__version__``
and imports for type checkers alone do not count.

Import statements are followed wherever they stand. A module that is loaded by a name in a
string (the registry of components) is not: a task that uses one imports it by a statement,
which the workflow's tests verify on what has really been loaded. Files other than code count by
their content: those below an imported package (page templates), and those that the caller names
(column schemas).

Syntax trees cost 2 to 5 ms a module, so their hashes are kept in the user's cache, keyed by
file content: hashing contents alone costs about 0.1 ms a module.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import drpflow
from drpflow.io.atomic import write_text
from drpflow.paths import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OUTSIDE: Final = ""
"""Name of what a module holds beside functions and classes: imports, constants."""
_PACKAGE: Final = "drpflow"
# Part of every cache key: what a digest means, and the grammar that it was made with.
_FORMAT: Final = f"1 {sys.version_info.major}.{sys.version_info.minor}"
_CACHE_ENTRIES: Final = 4000
_UNCOUNTED: Final = frozenset({"__all__", "__version__"})
# Fields of syntax nodes that do not change what the code does.
_UNCOUNTED_FIELDS: Final = frozenset({"ctx", "type_comment"})


class Source(NamedTuple):
    """What counts of one file: hash of its code, names that it imports, hashes of its parts."""

    digest: str
    imports: tuple[str, ...]
    parts: dict[str, str]


class SourceTree:
    """The modules of the package, read once and shared by the fingerprints of all tasks.

    Parameters
    ----------
    package
        Folder of the package ``drpflow``; that of the running one by default.
    cache
        File that remembers hashes by content.
    """

    def __init__(self, package: Path | None = None, cache: Path | None = None) -> None:
        self._package = package or Path(drpflow.__file__).parent
        self._cache_file = cache or user_cache() / "fingerprints.json"
        self._used: dict[str, Source] = {}
        self._modules: dict[str, Source | None] = {}
        self._data: dict[str, list[tuple[Path, str]]] = {}
        self._new = False

    def fingerprint(self, script: Path, data: Iterable[Path] = ()) -> str:
        """Return the fingerprint of a script and all that it imports, 16 hexadecimal digits.

        Parameters
        ----------
        script
            The script.
        data
            Further files whose content counts.
        """
        own = self._read(script)
        reached = self._reach(own)
        parts = [own.digest]
        parts += [f"{name} {source.digest}" for name, source in reached]
        parts += [f"{file.name} {digest}" for file, digest in self._files(reached, data)]
        return _hash("\n".join(parts))

    def contents(self, script: Path, data: Iterable[Path] = ()) -> dict[str, dict[str, str]]:
        """Return the hashes of all that a fingerprint is made of.

        Parameters
        ----------
        script, data
            As for :meth:`fingerprint`.

        Returns
        -------
        dict
            By module (or file) the hashes of its functions and methods; what stands outside of
            them is under :data:`OUTSIDE`.
        """
        own = self._read(script)
        reached = self._reach(own)
        found = {script.name: own.parts} | {name: source.parts for name, source in reached}
        return found | {file.name: {OUTSIDE: h} for file, h in self._files(reached, data)}

    def modules(self, script: Path) -> frozenset[str]:
        """Return the names of the drpflow modules that a script may load."""
        return frozenset(name for name, _ in self._reach(self._read(script)))

    def save(self) -> None:
        """Keep the hashes that were new; a cache that cannot be written is done without."""
        if not self._new:
            return
        entries = self._used if len(self._cached) > _CACHE_ENTRIES else self._cached | self._used
        with suppress(OSError):
            write_text(self._cache_file, json.dumps(entries))
        self._new = False

    def _files(
        self, reached: Iterable[tuple[str, Source]], data: Iterable[Path]
    ) -> list[tuple[Path, str]]:
        """Return the files that are no code and count, with the hashes of their contents."""
        found = [(file, _hash(file.read_bytes())) for file in data]
        for name, _ in reached:
            if name not in self._data:
                files = self._data_files(name)
                self._data[name] = [(file, _hash(file.read_bytes())) for file in files]
            found += self._data[name]
        return found

    def _reach(self, start: Source) -> list[tuple[str, Source]]:
        """Return all modules that `start` imports, directly or not, sorted."""
        found: dict[str, Source] = {}
        waiting = list(start.imports)
        while waiting:
            for name in _with_parents(waiting.pop()):
                source = None if name in found else self._module(name)
                if source is not None:
                    found[name] = source
                    waiting += source.imports
        return sorted(found.items(), key=lambda item: item[0])

    def _module(self, name: str) -> Source | None:
        """Return the source of a module, ``None`` where `name` is a thing inside a module."""
        if name not in self._modules:
            stem = self._package.joinpath(*name.split(".")[1:])
            path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
            self._modules[name] = self._read(path) if path.is_file() else None
        return self._modules[name]

    def _data_files(self, name: str) -> list[Path]:
        """Return the files below a package that are no code and belong to no package below it."""
        folder = self._package.joinpath(*name.split(".")[1:])
        if folder == self._package or not folder.is_dir():
            return []
        folders = [f for f in folder.iterdir() if f.is_dir() and not _is_code(f)]
        found = [file for f in folders for file in f.rglob("*") if file.is_file()]
        return sorted(found + [f for f in folder.iterdir() if f.is_file() and f.suffix != ".py"])

    def _read(self, path: Path) -> Source:
        content = path.read_bytes()
        key = _hash(_FORMAT.encode() + content)
        source = self._cached.get(key)
        if source is None:
            source = analyze(content)
            self._new = True
        self._used[key] = source
        return source

    @cached_property
    def _cached(self) -> dict[str, Source]:
        try:
            entries = json.loads(self._cache_file.read_text())
            return {
                key: Source(d, tuple(names), parts) for key, (d, names, parts) in entries.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def fingerprints(
    scripts: Mapping[str, Path], data: Mapping[str, Iterable[Path]] | None = None
) -> dict[str, str]:
    """Return the fingerprints of several scripts.

    Parameters
    ----------
    scripts
        Script file by task.
    data
        Further files whose content counts, by task.

    Returns
    -------
    dict
        Fingerprint by task.
    """
    tree, data = SourceTree(), data or {}
    result = {task: tree.fingerprint(path, data.get(task, ())) for task, path in scripts.items()}
    tree.save()
    return result


def analyze(content: str | bytes) -> Source:
    """Return what counts of Python source code.

    Parameters
    ----------
    content
        The source code.

    Returns
    -------
    Source
        Its digest, and the drpflow names that it imports, sorted. ``from a import b`` gives
        ``a`` and ``a.b``, since only the folder tells whether ``b`` is a module.
    """
    tree = ast.parse(content)
    names = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name for name in names if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")}
    return Source(_hash("\n".join(_tokens(tree))), tuple(sorted(ours)), _parts(tree))


def _parts(tree: ast.Module) -> dict[str, str]:
    """Return the hashes of functions and methods by name, and of what stands outside of them."""
    found: dict[str, str] = {}
    outside: list[str] = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = _hash("\n".join(_tokens(statement)))[:8]
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, ast.FunctionDef):
                    name = f"{statement.name}.{member.name}"
                    found[name] = _hash("\n".join(_tokens(member)))[:8]
            found[statement.name] = _hash("\n".join(_tokens(statement)))[:8]
        elif not _is_idle(statement):
            outside += _tokens(statement)
    return {**found, OUTSIDE: _hash("\n".join(outside))[:8]}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree that can run, its root included."""
    yield node
    for child in _children(node):
        yield from _running(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name in node._fields:
        value = _field(node, name)
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, ast.AST))


def _tokens(node: ast.AST) -> Iterator[str]:
    """Yield a text form of a tree in which empty fields do not appear.

    ``ast.dump`` would do, were its form not different from one Python to the next: new
    versions add fields, which are empty in older code.
    """
    if isinstance(node, ast.Constant):
        yield repr(node.value)
        return
    yield f"({type(node).__name__}"
    for name in node._fields:
        value = _field(node, name)
        if value is None or value == [] or name in _UNCOUNTED_FIELDS:
            continue
        yield name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _tokens(item)
            else:
                yield repr(item)
    yield ")"


def _field(node: ast.AST, name: str) -> object:
    """Return a field of a node, without the statements that do not count."""
    value = getattr(node, name, None)
    if name == "body" and isinstance(value, list):
        return [statement for statement in value if not _is_idle(statement)]
    return value


def _is_idle(statement: ast.AST) -> bool:
    """Return whether a statement does nothing that a product could depend on."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        name = getattr(statement.test, "id", getattr(statement.test, "attr", ""))
        return name == "TYPE_CHECKING" and not statement.orelse
    if isinstance(statement, ast.Assign):
        targets = {getattr(target, "id", "") for target in statement.targets}
        return targets <= _UNCOUNTED
    return False


def _is_code(folder: Path) -> bool:
    return folder.name == "__pycache__" or (folder / "__init__.py").is_file()


def _with_parents(name: str) -> Iterator[str]:
    """Yield a dotted name and the packages that Python runs before it."""
    yield name
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _hash(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]

"""YAML in which no key stands twice."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from drpflow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from yaml import MappingNode, SafeLoader


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        If it cannot be read, is no YAML, or holds a key twice; with the line.
    """
    import yaml

    try:
        return yaml.load(path.read_text(), Loader=strict_loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(path, f"{where}no YAML: {problem}", "Mend the line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"it cannot be read ({error})", "Check the file") from None


@cache
def strict_loader() -> type[SafeLoader]:
    """Return a loader that refuses a key that stands twice; YAML's own takes the last."""
    import yaml

    # The loader in C, where it was built, is twelve times as fast.
    class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
            """Return the mapping of a node, whose keys must differ."""
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
            return dict(super().construct_mapping(node, deep=deep))

    return StrictLoader

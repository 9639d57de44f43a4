"""YAML in which no key stands twice."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml import MappingNode, SafeLoader


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

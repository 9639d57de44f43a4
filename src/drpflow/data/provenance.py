"""What made a dataset: program, settings and inputs, without a clock.

There is no time of writing and no host name in it, so that equal runs give equal bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Provenance:
    """What made a dataset.

    Parameters
    ----------
    version
        Version of drpflow.
    task
        Label of the task.
    config
        Validated config section of the task, JSON-able.
    code
        Fingerprint of the code that ran.
    inputs
        One mapping an input, with ``name`` and a ``path`` or a ``data_id``.
    stages
        For each component that was taken from another dataset, the type of that dataset.
    """

    version: str = ""
    task: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    inputs: tuple[Mapping[str, Any], ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)

    def with_stages(self, stages: Mapping[str, str]) -> Provenance:
        """Return a copy in which these components come from these dataset types."""
        return replace(self, stages={**self.stages, **stages})

    def to_json(self) -> str:
        """Return JSON text with a fixed order of keys."""
        values = {
            "version": self.version,
            "task": self.task,
            "config": self.config,
            "code": self.code,
            "inputs": list(self.inputs),
            "stages": self.stages,
        }
        return json.dumps(values, sort_keys=True, ensure_ascii=True, default=dict)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Rebuild from :meth:`to_json`; keys that a later version added are left out."""
        values = json.loads(text)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["inputs"] = tuple(known.get("inputs", ()))
        return cls(**known)

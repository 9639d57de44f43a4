import pytest
from pydantic import ValidationError

from drpflow.sim.detector_config import DetectorEffects, Effect


def switches(model: object, path: str = "") -> dict[str, bool]:
    """Return all switches of effects by name."""
    found = {}
    for name in type(model).model_fields:  # type: ignore[attr-defined]
        value = getattr(model, name)
        if isinstance(value, Effect):
            found[path + name] = value.enabled
        elif hasattr(type(value), "model_fields"):
            found |= switches(value, f"{path}{name}.")
    return found


def test_all_effects_are_on_unless_switched_off() -> None:
    assert len(switches(DetectorEffects())) == 11
    assert all(switches(DetectorEffects()).values())


def test_none_switches_all_off() -> None:
    assert not any(switches(DetectorEffects.none()).values())
    assert not DetectorEffects.none().photon_noise


def test_misspelt_and_impossible_values_are_refused() -> None:
    with pytest.raises(ValidationError):
        DetectorEffects.model_validate({"cosmicrays": {"enabled": False}})
    with pytest.raises(ValidationError):
        DetectorEffects.model_validate({"saturation": {"full_well_electron": -1}})

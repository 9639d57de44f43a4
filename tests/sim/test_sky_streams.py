import numpy as np

from drpflow.sim.sky_streams import SkyStage, sky_generator


def draw(seed: int, stage: SkyStage, *ids: int | str) -> float:
    return float(sky_generator(seed, stage, *ids).uniform())


def test_same_ids_same_numbers() -> None:
    assert draw(1, SkyStage.STARS, 3, "g") == draw(1, SkyStage.STARS, 3, "g")


def test_each_stream_is_its_own() -> None:
    values = [
        draw(1, SkyStage.STARS),
        draw(2, SkyStage.STARS),
        draw(1, SkyStage.GALAXIES),
        draw(1, SkyStage.STARS, 1),
        draw(1, SkyStage.STARS, 2),
        draw(1, SkyStage.STARS, "g"),
        draw(1, SkyStage.STARS, "r"),
    ]
    assert len(np.unique(values)) == len(values)


def test_stage_numbers_are_unique() -> None:
    assert len({int(s) for s in SkyStage}) == len(SkyStage)

import numpy as np

from drpflow.sim.streams import SkyStage, Stage, generator


def draw(seed: int, stage: SkyStage, *ids: int | str) -> float:
    return float(generator(seed, stage, *ids).uniform())


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


def test_no_number_is_used_by_detector_and_sky() -> None:
    assert not {int(s) for s in SkyStage} & {int(s) for s in Stage}


def test_streams_never_change() -> None:
    # The first draw of two streams: a new one would change every simulation.
    assert generator(1, Stage.PHOTONS, 3, "g").integers(2**32) == 4239633308
    assert generator(1, SkyStage.STARS).integers(2**32) == 3224451813

from __future__ import annotations

import pickle

from drpflow.errors import AlgorithmError, InputError, suggest


def test_a_sentence_with_file_problem_and_remedy() -> None:
    error = InputError("a.fits", "the frame is 3 x 4 pixels.", "Use another camera")
    assert str(error) == "a.fits: the frame is 3 x 4 pixels. Use another camera."
    error = InputError("a.yaml", "unknown key 'x'; did you mean 'y'?", "Known keys: y")
    assert str(error) == "a.yaml: unknown key 'x'; did you mean 'y'? Known keys: y."


def test_errors_survive_pickling() -> None:
    for error in (InputError("a", "b", "c"), AlgorithmError("a", {"n": 3}, "b")):
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_suggest_the_nearest() -> None:
    assert suggest("flta", ["bias", "flat"]) == "; did you mean 'flat'?"
    assert suggest("zzz", ["bias", "flat"]) == ""

from __future__ import annotations

import errno
import os
import pickle

from drpflow.errors import AlgorithmError, InputError, machine_fault, suggest


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


def test_a_fault_of_the_machine_is_found_behind_an_error() -> None:
    error = InputError("a.fits", "it cannot be written", "look")
    assert not machine_fault(error)
    error.__context__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.fits")
    assert machine_fault(error).startswith("a.fits: No space left on device. Free some space")
    assert not machine_fault(FileNotFoundError(errno.ENOENT, "no such file", "a.fits"))
    long = OSError(errno.E2BIG, os.strerror(errno.E2BIG), "python")
    assert machine_fault(long).startswith("python: Argument list too long. Name fewer files")


def test_the_lack_of_a_right_counts_where_asked() -> None:
    shut = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.fits")
    assert "a.fits: Permission denied. Give yourself the right" in machine_fault(shut)
    assert not machine_fault(shut, rights=False)

"""Snakemake's text becomes events. The sample is what 9.27.1 wrote; see also test_run.py."""

from __future__ import annotations

from drpflow.workflow.snakemake_log import (
    Failed,
    Finished,
    Parser,
    Planned,
    Started,
    Text,
    find_machine_fault,
)

SAMPLE = """\
Building DAG of jobs...
Using shell: /usr/bin/bash
Job stats:
job      count
-----  -------
isr          2
all          1
total        3

Select jobs to execute...
Execute 2 jobs...

[Sat Nov 21 02:45:10 2026]
localrule isr:
    input: raw/1.fits
    output: out/1.fits
    log: logs/isr/visit=1/detector=0.log
    jobid: 2
    reason: Missing output files: out/1.fits
    wildcards: visit=1, detector=0
    resources: tmpdir=/x
[Sat Nov 21 02:45:10 2026]
rule isr:
    jobid: 4
    wildcards: visit=3, detector=0
[Sat Nov 21 02:45:11 2026]
Finished jobid: 2 (Rule: isr)
1 of 3 steps (33%) done
RuleException:
CalledProcessError in file "Snakefile", line 10:
[Sat Nov 21 02:45:11 2026]
Error in rule isr:
    message: None
    jobid: 4
    log: logs/isr/visit=3/detector=0.log (check log file(s) for error details)
    shell:
        python isr.py
        (command exited with non-zero exit code)
Exiting because a job execution failed. Look above for error messages
"""


def events(text: str) -> list[object]:
    parser = Parser()
    found = [event for line in text.splitlines(keepends=True) for event in parser.feed(line)]
    return found + list(parser.close())


def test_sample() -> None:
    found = [event for event in events(SAMPLE) if not isinstance(event, Text)]
    assert found == [
        Planned({"isr": 2, "all": 1}),
        Started("isr"),
        Started("isr"),
        Finished("isr"),
        Failed("isr", "logs/isr/visit=3/detector=0.log", "visit=3, detector=0"),
    ]


def test_other_lines_are_kept() -> None:
    texts = [event.line for event in events(SAMPLE) if isinstance(event, Text)]
    assert "Building DAG of jobs..." in texts
    assert "Exiting because a job execution failed. Look above for error messages" in texts
    assert not [line for line in texts if line.startswith("    ")]


def test_a_block_at_the_end_is_not_lost() -> None:
    assert events("Job stats:\njob count\n--- ---\nisr  7\n") == [Planned({"isr": 7})]


def test_a_fault_of_the_machine_is_one_sentence() -> None:
    lines = [
        "FileNotFoundError: [Errno 2] No such file or directory: 'a'",
        "Traceback",
        "OSError: ",
    ]
    assert not find_machine_fault(lines)
    lines[2] += "[Errno 28] No space left on device: '.snakemake/locks/0'"
    said = find_machine_fault(lines)
    assert said.startswith(".snakemake/locks/0: No space left on device. Free some space")
    assert find_machine_fault(["[Errno 28] No space left on device"]).startswith("No space left")

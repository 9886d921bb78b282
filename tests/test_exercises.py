"""What exercises share: the engine, the checks, the table of answers, the student edition."""

import json
import signal
import subprocess
import sys
import time

from nnopt_lab import exercises
from nnopt_lab.exercises import __main__ as edition
from nnopt_lab.exercises import checks
from nnopt_lab.exercises.exercise import Exercise, Feedback, Wrong, outcomes

import numpy as np
import pytest
import test_exercises_combined
import test_exercises_distributed
import test_exercises_normalization
import test_exercises_pruning
import test_exercises_schedules
import test_exercises_shuffling
import torch

ALL = {
    f"{module.__name__.split('.')[-1]}.{name}": exercise
    for module in (
        exercises.combined,
        exercises.distributed,
        exercises.normalization,
        exercises.primer,
        exercises.pruning,
        exercises.schedules,
        exercises.shuffling,
    )
    for name, exercise in vars(module).items()
    if isinstance(exercise, Exercise)
}
EXPERIMENTS = {"pruning.wide", "schedules.ahead"}  # which take seconds
WRONG = {
    "combined": test_exercises_combined.WRONG,
    "distributed": test_exercises_distributed.WRONG,
    "normalization": test_exercises_normalization.WRONG,
    "pruning": test_exercises_pruning.WRONG,
    "schedules": test_exercises_schedules.WRONG,
    "shuffling": test_exercises_shuffling.WRONG,
}
ANSWERS = sys.modules["nnopt_lab.exercises.answers"]  # the package's `answers` is the function


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    outcomes.clear()
    monkeypatch.setattr(ANSWERS, "predictions", list)


def double(x):
    if x == 3:
        raise ValueError("<b>three</b>")
    return 2 * x


def exercise(seconds: float = 5) -> Exercise:
    def check(my_double, factor):
        for x in (1, 2, 0):
            if my_double(x) != factor * x:
                raise Wrong(f"{x} gives {my_double(x)}")
        return "Doubling."

    return Exercise("double", hints=["a", "b"], solution=(double, 2), seconds=seconds)(check)


def test_three_outcomes_and_their_reasons():
    task = exercise()
    assert task.check(..., 2).outcome == "not attempted"
    assert task.check(lambda x: ..., 2).outcome == "not attempted"
    assert task.check(lambda x: (1, ...), 2).outcome == "not attempted"
    assert task.check(lambda x: x, 2) == Feedback("wrong", "1 gives 1")
    assert task.check(double, 2) == Feedback("right", "Doubling.")
    with pytest.raises(TypeError, match=r"takes 2 answers \(my_double, factor\); 1 were given"):
        task.check(double)


def test_an_error_of_the_learners_is_told_with_its_line():
    def check(my_double):
        return str(my_double(3))

    task = Exercise("error", hints=["a"], solution=(double,))(check)
    feedback = task.check(double)
    assert feedback.outcome == "wrong"
    assert 'raise ValueError("<b>three</b>")' in feedback.words
    assert "ValueError: <b>three</b>" in feedback.words
    assert "&lt;b&gt;three&lt;/b&gt;" in feedback._repr_html_()
    assert "<b>three" not in feedback._repr_html_()
    assert "cannot be used" in task.check(5).words


def test_what_hangs_is_stopped():
    def hang(_x):
        while True:
            pass

    start = time.monotonic()
    feedback = exercise(0.3).check(hang, 2)
    assert time.monotonic() - start < 3
    assert feedback.outcome == "wrong"
    assert "stopped after 0.3 seconds" in feedback.words
    time.sleep(0.5)  # no interrupt comes after the end
    assert exercise(0.3).check(double, 2).outcome == "right"


def test_what_hangs_is_stopped_where_ctrl_c_is_ignored():
    """As in a job that a shell has started with ``&``."""
    code = """if True:
        import signal
        from nnopt_lab.exercises.exercise import Exercise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        def hang():
            while True:
                pass
        task = Exercise("hang", hints=["a"], solution=(hang,), seconds=0.3)(lambda it: it())
        print(task.check(hang).words, signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert said.stdout == ("It was stopped after 0.3 seconds. Look for an endless loop. True\n"), (
        said.stderr
    )


def test_a_real_interrupt_is_passed_on():
    def interrupted(_x):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        exercise().check(interrupted, 2)


def test_hints_come_one_by_one():
    task = exercise()
    assert [repr(task.hint()) for _ in range(3)] == [
        "Hint 1 of 2. a",
        *["Hint 2 of 2. b"] * 2,
    ]


def test_answers_are_kept_but_neither_solutions_nor_a_starter_after_an_answer(tmp_path):
    task = exercise()
    task.solution()
    assert exercises.answers().rows == []
    task.check(..., 2)
    assert exercises.answers().rows[0][1] == "not attempted"
    task.check(lambda x: x, 2)
    task.check(..., 2)
    assert exercises.answers().rows == [("double", "wrong", "1 gives 1")]
    table = exercises.answers()
    assert repr(table) == "wrong: double"
    table.save(tmp_path / "mine.md")
    assert "| double | wrong | 1 gives 1 |" in (tmp_path / "mine.md").read_text()
    with pytest.raises(ValueError, match=r"ends in \.md"):
        table.save("mine.txt")


def test_the_table_begins_with_the_predictions(monkeypatch):
    monkeypatch.setattr(
        ANSWERS, "predictions", lambda: [("How much?", "waived", "measured: 3 < 4")]
    )
    exercise().check(double, 2)
    table = exercises.answers()
    assert [row[:2] for row in table.rows] == [("How much?", "waived"), ("double", "right")]
    assert "3 &lt; 4" in table._repr_html_()


@pytest.mark.parametrize("given", ["b", "B", "(b)", ["b"], "b)", " b. "])
def test_a_diagnosis_is_taken_in_any_style(given):
    checks.diagnosed(given, "b", {"a": "no"})
    checks.diagnosed("b, c, A", "bca", {})
    checks.diagnosed("(b) A text of some words", "b", {})
    for several in (["b", "c"], "b or c"):
        with pytest.raises(Wrong, match="one of the letters"):
            checks.diagnosed(several, "b", {"c": "no"})
    with pytest.raises(Wrong, match="no"):
        checks.diagnosed("(a)", "b", {"a": "no"})
    with pytest.raises(Wrong, match="one of the letters"):
        checks.diagnosed("because", "b", {"a": "no"})


def test_a_number_is_expected_and_known_mistakes_get_their_own_reason():
    def refused(*given, **how):
        with pytest.raises(Wrong) as reason:
            checks.expect(*given, **how)
        return str(reason.value)

    mistakes = {2.0: "twice", 1.0: "never said, since it is right"}
    for right in (1, 1.0, "1", np.float32(1), torch.tensor(1), 1 + 1e-9):
        checks.expect(right, 1.0, "At t = 3", mistakes)
    assert refused(2, 1.0, "At t = 3", mistakes) == "twice"
    assert refused(3, 1.0, "At t = 3", mistakes) == "At t = 3 you give 3; 1 is right."
    assert refused(3, 1.0, "", otherwise="no") == "no"
    assert refused("x", 1.0, "At t = 3") == "At t = 3 you give 'x'; return a number."
    assert "finite" in refused(float("nan"), 1.0, "At t = 3")
    assert "return a number" in refused(torch.ones(2), 1.0, "At t = 3")
    checks.expect(1.004, 1.0, "", rel_tol=0.01)


@pytest.mark.parametrize("name", sorted(ALL.keys() - EXPERIMENTS))
def test_every_solution_passes_its_own_check_and_has_hints(name):
    solution = ALL[name].solution()
    assert solution.feedback.outcome == "right", solution.feedback
    assert "..." not in solution.source
    assert ALL[name].hint().words


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [(f"{lesson}.{name}", *row) for lesson, rows in WRONG.items() for name, *row in rows],
)
def test_typical_wrong_answers_get_their_own_reason(name, given, reason):
    feedback = ALL[name].check(*given)
    assert feedback.outcome == "wrong", feedback
    assert reason in feedback.words


@pytest.mark.parametrize("lesson", WRONG)
def test_enough_exercises_and_cases_each_with_two_wrong_answers(lesson):
    mine = {name: exercise for name, exercise in ALL.items() if name.startswith(f"{lesson}.")}
    cases = [name for name, exercise in mine.items() if exercise.name.startswith("clinic")]
    few, few_cases = (4, 0) if lesson == "combined" else (5, 3)  # its faults are comparisons
    assert len(mine) - len(cases) >= few
    assert len(cases) >= few_cases
    for name in mine.keys() - EXPERIMENTS:
        assert len([1 for wrong, *_ in WRONG[lesson] if f"{lesson}.{wrong}" == name]) >= 2


def test_the_student_edition_has_no_solutions(tmp_path):
    code = {"cell_type": "code", "execution_count": 1, "outputs": [], "source": "1", "metadata": {}}
    result = {"output_type": "execute_result", "execution_count": 3, "data": {}, "metadata": {}}
    notebook = {
        "cells": [
            code,
            code | {"execution_count": 2, "metadata": {"tags": ["solution"]}},
            code | {"execution_count": 3, "outputs": [result]},
        ],
        "nbformat": 4,
    }
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    edition.main([str(tmp_path / "a.ipynb"), str(tmp_path / "class" / "b.ipynb")])
    student = json.loads((tmp_path / "class" / "b.ipynb").read_text())
    assert [cell["execution_count"] for cell in student["cells"]] == [1, 2]
    assert student["cells"][1]["outputs"][0]["execution_count"] == 2
    with pytest.raises(SystemExit, match="Give two files"):
        edition.main(["a.ipynb"])
    with pytest.raises(SystemExit, match="Give two files"):
        edition.main([str(tmp_path / "a.ipynb"), str(tmp_path / "class" / ".." / "a.ipynb")])
    with pytest.raises(SystemExit, match="no file"):
        edition.main([str(tmp_path / "missing.ipynb"), "b.ipynb"])

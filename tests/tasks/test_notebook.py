"""Many questions about units: answers survive an interruption, and progress is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from planted import Guesser, PlantedSession, plant

from neuroduet.tasks import questions
from neuroduet.tasks.evaluate import Evaluation, score_predictors
from neuroduet.tasks.questions import BLOCK, Notebook
from neuroduet.terminal import Asked
from neuroduet.training.files import read_tensors
from neuroduet.types import NEURAL, Batch, Masks, UnitQuestions

UNITS = 2 * BLOCK + 3
TASKS = ["co_smoothing", "intra_region"]
BATCH = 12


class Interrupted(Exception):
    """Stands for the end of the process."""


class Counting(Guesser):
    """Answers by what it has drawn beforehand, counts the blocks, and may be stopped at one."""

    def __init__(
        self, sessions: list[PlantedSession], stop_at: int | None = None, name: str = "counting"
    ) -> None:
        super().__init__(sessions, name)
        self.blocks, self.stop_at = 0, stop_at

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> torch.Tensor | None:
        self.blocks += 1
        if self.blocks == self.stop_at:
            raise Interrupted
        # Every question has answers of its own, so that none can stand in for another.
        answers = self.predict(batch, masks, task).activity.clone()
        return answers + 0.01 * questions.hidden.float().sum() + 0.001 * len(task)


@pytest.fixture
def session() -> PlantedSession:
    session = plant(units=UNITS, windows=40)
    return replace(session, info=replace(session.info, regions=tuple("A" * 18 + "B" * 17)))


@pytest.fixture
def always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SAVE_EVERY_S", -1.0)


def ask(
    predictors: Sequence[Counting], session: PlantedSession, notebook: Notebook | None = None
) -> Evaluation:
    return score_predictors(predictors, [session], TASKS, batch_size=BATCH, notebook=notebook)


def needed(session: PlantedSession) -> int:
    """Blocks of an evaluation that was never stopped."""
    counting = Counting([session])
    ask([counting], session)
    return counting.blocks


def test_questions_are_asked_in_blocks(session: PlantedSession) -> None:
    assert needed(session) == 2 * 2 * 3  # two batches, two tasks, three blocks of 35 questions


@pytest.mark.usefixtures("always_saved")
@pytest.mark.parametrize("stop_at", [1, 2, 5, 12])
def test_an_interrupted_evaluation_goes_on_where_it_was_stopped(
    session: PlantedSession, tmp_path: Path, stop_at: int
) -> None:
    path, whole = tmp_path / "scores.csv.partial", ask([Counting([session])], session)
    first = Counting([session], stop_at)
    with pytest.raises(Interrupted):
        ask([first], session, Notebook(path, "same"))
    second = Counting([session])
    found = ask([second], session, Notebook(path, "same"))
    # The block at which it was stopped is the only one that is asked twice.
    assert first.blocks + second.blocks == needed(session) + 1
    assert repr(found) == repr(whole)


@pytest.mark.usefixtures("always_saved")
def test_answers_given_in_full_are_not_asked_for_again(
    session: PlantedSession, tmp_path: Path
) -> None:
    whole = ask([Counting([session])], session, Notebook(tmp_path / "notes", "same"))
    again = Counting([session])
    assert repr(ask([again], session, Notebook(tmp_path / "notes", "same"))) == repr(whole)
    assert again.blocks == 0


@pytest.mark.usefixtures("always_saved")
def test_a_notebook_with_another_fingerprint_is_not_used(
    session: PlantedSession, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    ask([Counting([session])], session, Notebook(path, "one"))
    again = Counting([session])
    ask([again], session, Notebook(path, "other"))
    assert again.blocks == needed(session)
    assert read_tensors(path)[1] == {"fingerprint": "other"}


@pytest.mark.usefixtures("always_saved")
@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_notebook_is_ignored_and_replaced(
    session: PlantedSession, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "notes"
    whole = ask([Counting([session])], session, Notebook(path, "same"))
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"notes", "empty": b""}[damage])
    again = Counting([session])
    assert repr(ask([again], session, Notebook(path, "same"))) == repr(whole)
    assert again.blocks == needed(session)
    assert len(read_tensors(path)[0]) == needed(session)


@pytest.mark.usefixtures("always_saved")
def test_predictors_sessions_tasks_and_batches_have_their_own_answers(tmp_path: Path) -> None:
    regions = tuple("AAABB")
    sessions = [plant(name, seed=i, units=5) for i, name in enumerate(("a", "b"))]
    sessions = [replace(s, info=replace(s.info, regions=regions)) for s in sessions]
    one, other = Counting(sessions), Counting(sessions[::-1], name="other")
    other.tables = {name: {NEURAL: -table[NEURAL]} for name, table in other.tables.items()}
    plain = score_predictors([one, other], sessions, TASKS, batch_size=BATCH)
    kept = Notebook(tmp_path / "notes", "same")
    noted = score_predictors([one, other], sessions, TASKS, batch_size=BATCH, notebook=kept)
    resumed = score_predictors(
        [one, other], sessions, TASKS, batch_size=BATCH, notebook=Notebook(kept.path, "same")
    )
    assert repr(plain) == repr(noted) == repr(resumed)
    assert one.blocks == other.blocks == 2 * 2 * 2 * 2  # evaluations, sessions, tasks, batches


def test_a_quick_evaluation_writes_no_file(session: PlantedSession, tmp_path: Path) -> None:
    ask([Counting([session])], session, Notebook(tmp_path / "notes", "same"))
    ask([Counting([session])], session, Notebook())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("always_saved")
def test_progress_is_told_up_to_the_total(session: PlantedSession, tmp_path: Path) -> None:
    def told(counting: Counting, path: Path | None) -> dict[str, list[tuple[int, int]]]:
        found: dict[str, list[tuple[int, int]]] = {}

        def report(place: str, done: int, count: int) -> None:
            found.setdefault(place, []).append((done, count))

        progress: Asked = report
        ask([counting], session, Notebook(path, "same", progress))
        return found

    expected = [(BLOCK, UNITS), (2 * BLOCK, UNITS), (UNITS, UNITS)]
    found = told(Counting([session]), tmp_path / "notes")
    batches = 2
    assert found == {f"mouse/1: {task}": expected * batches for task in TASKS}
    # Answers that are remembered count as given.
    assert told(Counting([session], stop_at=1), tmp_path / "notes") == found
    assert told(Counting([session]), None) == found

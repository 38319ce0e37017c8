from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import tiny
from torch.optim.lr_scheduler import OneCycleLR

from neuroduet.config import TrainingConfig
from neuroduet.training.schedule import one_cycle, rate_at

PUBLISHED = TrainingConfig(learning_rate=2e-4, warmup=0.15, div_factor=10, final_div_factor=1e4)


def published_rate(step: int) -> float:
    return PUBLISHED.learning_rate * rate_at(step, 1000, 0.0, PUBLISHED)


def torch_rates(total: int, warmup: float) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = OneCycleLR(
        optimizer, 1.0, total_steps=total, pct_start=warmup, div_factor=10, final_div_factor=1e4
    )
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < total:
            schedule.step()
    return rates


@pytest.mark.parametrize(
    ("total", "warmup"), [(1000, 0.15), (100, 0.1), (37, 0.3), (20, 0.5), (10, 0.9), (3, 0.5)]
)
def test_the_rate_equals_torchs_one_cycle_schedule(total: int, warmup: float) -> None:
    config = TrainingConfig(warmup=warmup)
    rates = [rate_at(step, total, 0.0, config) for step in range(total)]
    assert rates == pytest.approx(torch_rates(total, warmup), rel=1e-9)


def test_the_published_schedule_passes_through_its_known_rates() -> None:
    # NEDS reference, section 13.7.
    assert published_rate(0) == pytest.approx(2e-5)
    assert published_rate(149) == pytest.approx(2e-4)
    assert max(range(1000), key=published_rate) == 149
    assert published_rate(500) == pytest.approx(1.27011e-4, rel=1e-5)
    assert published_rate(999) == pytest.approx(2e-9)


@given(progress=st.floats(-1, 2), warmup=st.floats(0.01, 0.99))
def test_the_factor_stays_between_its_end_and_its_peak(progress: float, warmup: float) -> None:
    factor = one_cycle(progress, warmup=warmup, div_factor=10.0, final_div_factor=1e4)
    assert 1e-5 * (1 - 1e-6) <= factor <= 1.0


def test_whichever_budget_is_used_up_faster_sets_the_rate() -> None:
    config = TrainingConfig()
    assert rate_at(10, 1001, 0.7, config) == pytest.approx(rate_at(700, 1001, 0.0, config))
    assert rate_at(700, 1001, 0.01, config) == rate_at(700, 1001, 0.0, config)


def test_a_run_of_one_step_has_a_rate() -> None:
    assert 0 < rate_at(0, 1, 0.0, TrainingConfig()) <= 1


def test_momentum_moves_against_the_rate_between_its_published_ends(
    data, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuroduet.training.fit import train
    from neuroduet.training.module import TrainingModule

    seen: list[tuple[float, float]] = []
    start = TrainingModule.on_train_batch_start

    def spy(self, batch, batch_idx) -> None:
        start(self, batch, batch_idx)
        group = self.optimizer.param_groups[0]
        seen.append((group["lr"], group["betas"][0]))

    monkeypatch.setattr(TrainingModule, "on_train_batch_start", spy)
    settings = ["training.cycle_momentum=true", "training.max_epochs=10", "training.max_steps=20"]
    train(tiny(*settings, "training.warmup=0.5"), data, tmp_path / "run")
    rates, momenta = zip(*seen, strict=True)
    assert len(seen) == 20
    assert momenta[9] == pytest.approx(0.85)
    assert rates[9] == max(rates)
    assert momenta[0] == pytest.approx(0.95 - 0.1 * 0.1)
    assert momenta[-1] == pytest.approx(0.95, abs=1e-5)
    assert all(0.85 <= m <= 0.95 for m in momenta)

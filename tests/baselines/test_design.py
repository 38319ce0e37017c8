from __future__ import annotations

import pytest
import torch

from neuroduet.baselines.design import cosine_basis, fit_design


@pytest.mark.parametrize(("bins", "size"), [(100, 20), (7, 7), (5, 1), (1, 1)])
def test_cosines_add_up_to_one_in_every_bin(bins: int, size: int):
    basis = cosine_basis(bins, size)
    assert basis.shape == (bins, size)
    torch.testing.assert_close(basis.sum(dim=1), torch.ones(bins))


def test_columns_are_the_basis_then_each_behaviour(session):
    design = fit_design(session.batch(session.indices("train")), session.info.behaviours, 2)
    batch = session.batch(session.indices("test"))
    # basis; wheel at 5 lags; paws twice at 5 lags and its gap; choice; block and gap; state; delay
    expected = 8 + 5 + (10 + 1) + 2 * 8 + (3 + 1) * 8 + 2 * 5 + 8
    assert design.columns(batch).shape == (*batch.valid.shape, expected)


def test_a_continuous_behaviour_is_standardised_on_training_windows(session):
    train = session.batch(session.indices("train"))
    design = fit_design(train, session.info.behaviours[:1], 0)
    wheel = design.columns(train)[train.valid][:, -1]
    assert abs(float(wheel.mean())) < 1e-5
    assert float(wheel.std(correction=0)) == pytest.approx(1.0, abs=1e-4)


def test_hiding_a_behaviour_equals_not_having_observed_it(session, hiding):
    batch = session.batch(session.indices("test"))
    design = fit_design(batch, session.info.behaviours, 2)
    hidden = design.columns(batch, hiding(batch, {"wheel", "block"}))
    observed = {name: mask.clone() for name, mask in batch.observed.items()}
    observed["wheel"][:] = False
    observed["block"][:] = False
    missing = design.columns(type(batch)(**{**vars(batch), "observed": observed}))
    assert torch.equal(hidden, missing)


def test_a_longer_window_keeps_the_end_of_the_course(session):
    train = session.batch(session.indices("train"))
    design = fit_design(train, (), 0)
    longer = type(train)(
        **{
            **vars(train),
            "activity": torch.zeros(len(train.valid), 20, 9),
            "valid": torch.ones(len(train.valid), 20, dtype=torch.bool),
        }
    )
    columns = design.columns(longer)
    assert torch.equal(columns[:, :16], design.columns(train))
    assert torch.equal(columns[:, 19], columns[:, 15])

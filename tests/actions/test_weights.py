from __future__ import annotations

import numpy as np
import pytest

from neuroduet.actions.weights import class_weights


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ((0, 300, 300, 350, 300, 706), (0, 2.3533, 2.3533, 2.0171, 2.3533, 1)),
        ((0, 600, 600, 450, 600, 1297), (0, 2.1617, 2.1617, 2.8822, 2.1617, 1)),
    ],
)
def test_the_weights_of_the_reference(counts, weights):
    np.testing.assert_allclose(class_weights(np.array(counts)), weights, atol=5e-5)


def test_the_power_goes_from_no_balance_to_full_balance():
    counts = np.array([4, 0, 16])
    np.testing.assert_array_equal(class_weights(counts, 0.0), [1, 0, 1])
    np.testing.assert_array_equal(class_weights(counts, 0.5), [2, 0, 1])
    np.testing.assert_array_equal(class_weights(counts, 1.0) * counts, [16, 0, 16])


def test_no_label_at_all_gives_no_weight():
    np.testing.assert_array_equal(class_weights(np.zeros(3, int)), np.zeros(3))

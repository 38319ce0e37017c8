from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from neuroduet.nn.stitch import InputStitch, OutputStitch, SmoothingConv, module_key

NAMES = st.text(max_size=12)


@given(one=NAMES, other=NAMES)
@example(one="a_b", other="a/b")
@example(one="a.b", other="a_2e_b")
@example(one="_2e_", other=".")
@example(one="", other="_")
def test_different_sessions_have_different_module_names(one: str, other: str) -> None:
    assert (module_key(one) == module_key(other)) == (one == other)


@given(names=st.lists(st.text(alphabet=st.characters(), max_size=12), unique=True, max_size=5))
@example(names=["", ".", "keys", "pop", "weight", "a.b/c d", "\n", "é", "training"])
def test_any_session_id_names_a_module_that_is_found_again(names: list[str]) -> None:
    modules = nn.ModuleDict({module_key(name): nn.Linear(1, 1) for name in names})
    assert len(modules) == len(names)
    assert set(modules.state_dict()) == {
        f"{module_key(name)}.{part}" for name in names for part in ("weight", "bias")
    }


def stitch(is_poisson: bool = True, dropout: float = 0.0) -> InputStitch:
    torch.manual_seed(0)
    made = InputStitch(5, 3, is_poisson, dropout)
    made.centre.copy_(torch.rand(5))
    made.scale.copy_(0.5 + torch.rand(5))
    return made


def counts() -> torch.Tensor:
    return torch.poisson(torch.full((4, 6, 5), 2.0), generator=torch.Generator().manual_seed(1))


def test_counts_are_rooted_centred_scaled_and_projected() -> None:
    layer = stitch()
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    found = layer(counts(), everything)
    expected = sum(
        (math.sqrt(counts()[2, 3, n]) - layer.centre[n]) / layer.scale[n] * layer.weight[n]
        for n in range(5)
    )
    torch.testing.assert_close(found[2, 3], expected)


def test_traces_are_not_rooted() -> None:
    layer, traces = stitch(is_poisson=False), torch.randn(4, 6, 5)
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    expected = (traces - layer.centre) / layer.scale @ layer.weight
    torch.testing.assert_close(layer(traces, everything), expected)


@pytest.mark.parametrize("shape", [(4, 6, 1), (4, 1, 5), (4, 6, 5)])
def test_hidden_entries_are_ignored(shape: tuple[int, ...]) -> None:
    layer = stitch()
    seen = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    other = torch.where(seen, counts(), counts() + 7)
    assert torch.equal(layer(counts(), seen), layer(other, seen))
    assert not torch.equal(layer(counts(), seen), layer(other, torch.ones_like(seen)))


def test_a_hidden_entry_counts_as_exactly_average() -> None:
    layer = stitch()
    seen = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    average = torch.where(seen, counts(), layer.centre.square())
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    torch.testing.assert_close(layer(counts(), seen), layer(average, everything))


def test_a_bin_mask_equals_the_same_mask_spelt_out_for_every_unit() -> None:
    layer = stitch()
    seen = torch.rand(4, 6, 1, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.testing.assert_close(
        layer(counts(), seen), layer(counts(), seen.expand(4, 6, 5).contiguous())
    )


def test_unit_dropout_silences_whole_units_of_a_sample_in_training_only() -> None:
    layer = stitch(dropout=0.5)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(5)[:, :3])  # output r shows unit r
    everything = torch.ones(200, 6, 1, dtype=torch.bool)
    activity = torch.full((200, 6, 5), 9.0)
    shown = layer.train()(activity, everything)
    silent = shown == 0
    assert torch.equal(silent.any(1), silent.all(1))  # for all bins or for none
    assert 0.4 < silent.float().mean() < 0.6
    full = layer.eval()(activity, everything)
    torch.testing.assert_close(shown[~silent], 2 * full[~silent])  # the expectation is kept
    assert not (full == 0).any()


def test_read_out_is_a_log_rate_or_a_trace_in_its_own_units() -> None:
    latents = torch.randn(2, 3, 4)
    for is_poisson in (True, False):
        layer = OutputStitch(5, 4, is_poisson)
        with torch.no_grad():
            layer.bias.copy_(torch.randn(5))
        layer.centre.fill_(3.0)
        layer.scale.fill_(2.0)
        plain = latents @ layer.loadings.T + layer.bias
        expected = plain if is_poisson else 2.0 * plain + 3.0
        torch.testing.assert_close(layer(latents), expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@given(kernel=st.integers(1, 12), bins=st.integers(1, 20))
def test_smoothing_keeps_the_number_of_bins(kernel: int, bins: int) -> None:
    assert SmoothingConv(3, kernel)(torch.randn(2, bins, 3)).shape == (2, bins, 3)


def test_smoothing_starts_as_an_average_that_keeps_constants_and_channels_apart() -> None:
    layer, x = SmoothingConv(2, 5), torch.zeros(1, 20, 2)
    x[..., 0] = 3.0
    smooth = layer(x)
    torch.testing.assert_close(smooth[0, 2:-2, 0], torch.full((16,), 3.0))
    assert smooth[..., 1].abs().max() == 0
    pulse = torch.zeros(1, 21, 2)
    pulse[0, 10, 1] = 1.0
    spread = layer(pulse)[0, :, 1]
    torch.testing.assert_close(spread, spread.flip(0))  # symmetric: an odd kernel does not shift
    assert spread.argmax() == 10
    assert spread.sum().item() == pytest.approx(1.0)

from __future__ import annotations

import math

import numpy as np
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


def stitch(is_poisson: bool = True, dropout: float = 0.0, silence: bool = False) -> InputStitch:
    torch.manual_seed(0)
    made = InputStitch(5, 3, is_poisson, dropout, silence)
    made.centre.copy_(torch.rand(5))
    made.scale.copy_(0.5 + torch.rand(5))
    return made


def counts() -> torch.Tensor:
    return torch.poisson(torch.full((4, 6, 5), 2.0), generator=torch.Generator().manual_seed(1))


def posterior(layer: InputStitch, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Expected latents given the seen units, by conditioning a joint Gaussian on them.

    Args:
        layer: Loadings, and the variance of the noise.
        values: Standardised activity, ``(*, N)``.
        seen: Which units are conditioned on, ``(N,)``.
    """
    weight = layer.weight.detach().double().numpy()[seen]
    covariance = weight @ weight.T + math.exp(layer.log_noise.item()) * np.eye(len(weight))
    return values[..., seen] @ np.linalg.solve(covariance, weight)


def standardised(layer: InputStitch, values: np.ndarray) -> np.ndarray:
    return (values - layer.centre.double().numpy()) / layer.scale.double().numpy()


def test_counts_are_rooted_centred_and_scaled() -> None:
    layer = stitch()
    found = layer.standardise(counts())
    for n in range(5):
        expected = (math.sqrt(counts()[2, 3, n]) - layer.centre[n]) / layer.scale[n]
        torch.testing.assert_close(found[2, 3, n], expected)


def test_traces_are_not_rooted() -> None:
    layer, traces = stitch(is_poisson=False), torch.randn(4, 6, 5)
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    values = standardised(layer, traces.double().numpy())
    expected = posterior(layer, values, np.ones(5, dtype=bool))
    np.testing.assert_allclose(
        layer(traces, everything, layer.weight).detach(), expected, atol=1e-5
    )


@given(
    seen=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=4, max_size=4),
    noise=st.floats(0.05, 20.0),
)
@example(seen=[[True] * 5, [False] * 5, [True] + [False] * 4, [False] + [True] * 4], noise=1.0)
def test_latents_are_what_a_gaussian_model_expects_given_the_visible_units(
    seen: list[list[bool]], noise: float
) -> None:
    layer = stitch()
    with torch.no_grad():
        layer.log_noise.fill_(math.log(noise))
    found = layer(counts(), torch.tensor(seen)[:, None], layer.weight).detach().numpy()
    values = standardised(layer, np.sqrt(counts().double().numpy()))
    for sample, units in enumerate(seen):
        expected = posterior(layer, values[sample], np.array(units))
        np.testing.assert_allclose(found[sample], expected, atol=1e-4)


def test_planted_latents_are_found_from_whichever_units_may_be_seen() -> None:
    generator = torch.Generator().manual_seed(3)
    layer = InputStitch(60, 2, False, 0.0, silence=False)
    latents = torch.randn(1, 400, 2, generator=generator)
    noise = 0.5 * torch.randn(1, 400, 60, generator=generator)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(60, 2, generator=generator))
        layer.log_noise.fill_(math.log(0.25))
    activity = latents @ layer.weight.detach().T + noise
    for first, last in ((0, 60), (0, 20), (45, 60)):
        units = (torch.arange(60) >= first) & (torch.arange(60) < last)
        found = layer(activity, units[None, None], layer.weight).detach()
        # Shown a quarter of the units, the latents keep their meaning and their scale.
        assert (found - latents).square().mean() < 0.05


@pytest.mark.parametrize("shape", [(4, 6, 1), (4, 1, 5), (4, 6, 5)])
def test_hidden_entries_are_ignored(shape: tuple[int, ...]) -> None:
    layer = stitch()
    seen = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    other = torch.where(seen, counts(), counts() + 7)
    assert torch.equal(layer(counts(), seen, layer.weight), layer(other, seen, layer.weight))
    assert not torch.equal(
        layer(counts(), seen, layer.weight), layer(other, torch.ones_like(seen), layer.weight)
    )


def test_a_hidden_bin_of_a_unit_that_is_seen_counts_as_exactly_average() -> None:
    layer = stitch()
    seen = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    seen[:, 0] = True
    average = torch.where(seen, counts(), layer.centre.square())
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    torch.testing.assert_close(
        layer(counts(), seen, layer.weight), layer(average, everything, layer.weight)
    )


def test_a_bin_mask_equals_the_same_mask_spelt_out_for_every_unit() -> None:
    layer = stitch()
    seen = torch.rand(4, 6, 1, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.testing.assert_close(
        layer(counts(), seen, layer.weight),
        layer(counts(), seen.expand(4, 6, 5).contiguous(), layer.weight),
    )


@pytest.mark.parametrize("silence", [False, True])
@pytest.mark.parametrize("hide", [1, 2, 4])  # less and more than half of the units
def test_leaving_units_out_in_turns_equals_hiding_them(hide: int, silence: bool) -> None:
    layer = stitch(silence=silence)
    hidden = torch.stack([(torch.arange(5) - shift) % 5 < hide for shift in range(5)])
    found = layer.without(counts(), hidden, layer.weight)
    assert found.shape == (5, 4, 6, 3)
    for row, units in zip(found, hidden, strict=True):
        slow = layer(counts(), (~units)[None, None].expand(4, 1, 5), layer.weight)
        torch.testing.assert_close(row, slow, atol=1e-5, rtol=1e-5)


def test_hidden_units_can_read_as_silent_instead() -> None:
    layer = stitch(silence=True)
    seen = torch.rand(4, 1, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    seen[:, :, 0] = True
    everything = torch.ones(4, 6, 1, dtype=torch.bool)
    silent = counts().masked_fill(~seen, 0.0)
    torch.testing.assert_close(
        layer(counts(), seen, layer.weight), layer(silent, everything, layer.weight)
    )
    assert not torch.allclose(
        layer(counts(), seen, layer.weight), stitch()(counts(), seen, layer.weight)
    )


@pytest.mark.parametrize("shape", [(4, 6, 1), (4, 6, 5)])
def test_a_bin_of_which_nothing_may_be_seen_is_zero(shape: tuple[int, ...]) -> None:
    seen = torch.ones(shape, dtype=torch.bool)
    seen[1, 2] = False
    for silence in (False, True):
        layer = stitch(silence=silence)
        found = layer(counts(), seen, layer.weight)
        assert not found[1, 2].any()
        assert found.any(-1).sum() == 4 * 6 - 1


def test_unit_dropout_silences_whole_units_of_a_sample_in_training_only() -> None:
    layer = stitch(dropout=0.5)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(5)[:, :3])  # output r shows unit r
    everything = torch.ones(200, 6, 1, dtype=torch.bool)
    activity = torch.full((200, 6, 5), 9.0)
    shown = layer.train()(activity, everything, layer.weight)
    silent = shown == 0
    assert torch.equal(silent.any(1), silent.all(1))  # for all bins or for none
    assert 0.4 < silent.float().mean() < 0.6
    full = layer.eval()(activity, everything, layer.weight)
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
        torch.testing.assert_close(layer(latents, layer.loadings), expected)


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


@given(kernel=st.integers(0, 6).map(lambda k: 2 * k + 1), last=st.integers(0, 18))
def test_no_bin_depends_on_later_ones_where_smoothing_is_causal(kernel: int, last: int) -> None:
    torch.manual_seed(0)
    layer, x = SmoothingConv(3, kernel), torch.randn(4, 20, 3)
    causal = torch.tensor([True, False, True, False])
    other = x.clone()
    other[:, last + 1 :] += 5.0
    one, two = layer(x, causal), layer(other, causal)
    assert torch.equal(one[causal, : last + 1], two[causal, : last + 1])
    same = torch.equal(one[~causal, : last + 1], two[~causal, : last + 1])
    assert same == (kernel == 1)
    torch.testing.assert_close(one[~causal], layer(x)[~causal])


def test_causal_smoothing_keeps_the_weights_of_the_past() -> None:
    layer = SmoothingConv(1, 5)
    pulse = torch.zeros(1, 21, 1)
    pulse[0, 10] = 1.0
    both, past = layer(pulse)[0, :, 0], layer(pulse, torch.tensor([True]))[0, :, 0]
    assert not past[:10].any()
    torch.testing.assert_close(past[10:], both[10:])

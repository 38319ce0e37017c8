"""Small networks from activity to the outputs that behaviours are read from."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from neuroduet.baselines.smoothing import bins_up_to_last, window_means

COMPONENTS = 32
"""Weighted sums of units that a network sees of each bin."""
MAX_LAG = 8
"""Bins to either side that the perceptron sees."""
HIDDEN = 64
"""Hidden units that a read-out sees; half of an LSTM's run backwards in time."""


class BinPerceptron(nn.Module):
    """Units to a few components, components of the bins around a bin to a hidden layer.

    Attributes:
        units: Dropout of units.
        components: Linear map from units to components; without intercept, so that what is 0,
            the training mean, looks the same within and beyond a window.
        hidden_layer: The hidden layer of every bin, which sees the bins around it.
        dropout: Dropout of hidden units.
        read_out: Linear map to the outputs.
    """

    def __init__(self, *, features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.units = nn.Dropout(dropout)
        self.components = nn.Linear(features, COMPONENTS, bias=False)
        self.hidden_layer = nn.Conv1d(COMPONENTS, HIDDEN, 2 * MAX_LAG + 1, padding=MAX_LAG)
        self.dropout = nn.Dropout(dropout)
        self.read_out = nn.Linear(HIDDEN, outputs)

    def forward(
        self, inputs: Float[Tensor, "B T N"], valid: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T Q"]:
        """Outputs of every bin; ``inputs`` are 0 where a bin does not exist."""
        components = self.components(self.units(inputs))
        hidden = self.hidden_layer(components.transpose(1, 2)).transpose(1, 2)
        return self.read_out(self.dropout(functional.relu(hidden)))


class TrialPerceptron(nn.Module):
    """One hidden layer between the features of a trial and the outputs.

    Attributes:
        layers: Dropout of features, hidden layer, dropout of hidden units, linear read-out.
    """

    def __init__(self, *, features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(features, HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, outputs),
        )

    def forward(
        self, inputs: Float[Tensor, "B F"], valid: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B Q"]:
        """Outputs of every window."""
        return self.layers(inputs)


class Lstm(nn.Module):
    """A bidirectional LSTM over a window, read out in every bin or as the mean of its bins.

    The mean sees all of a trial; the last state alone, the published read-out, forgets its start.

    Attributes:
        units: Dropout of units.
        components: Linear map from units to components.
        lstm: The recurrent layer.
        dropout: Dropout of hidden units.
        read_out: Linear map to the outputs.
        pooled: Whether the read-out sees the mean over the bins of a window.
    """

    def __init__(self, *, features: int, outputs: int, dropout: float, pooled: bool) -> None:
        super().__init__()
        self.units = nn.Dropout(dropout)
        self.components = nn.Linear(features, COMPONENTS)
        self.lstm = nn.LSTM(COMPONENTS, HIDDEN // 2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.read_out = nn.Linear(HIDDEN, outputs)
        self.pooled = pooled

    def forward(
        self, inputs: Float[Tensor, "B T N"], valid: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B ... Q"]:
        """Outputs of every bin or window; padding is never read."""
        bins = valid.shape[1]
        components = self.components(self.units(inputs))
        lengths = bins_up_to_last(valid)
        packed = pack_padded_sequence(components, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=bins)
        if self.pooled:
            hidden = window_means(hidden, valid, 1)[:, 0]
        return self.read_out(self.dropout(hidden))

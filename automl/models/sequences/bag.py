"""A bag of tokens: their vectors are averaged and classified, as in fastText (Joulin et al. 2017).

With `prepare: {tokens: ngrams}`, its preparation where nobody chooses one, tokens are words, pairs of words, and pieces
of words (Bojanowski et al. 2017). Order beyond that is not seen; on short texts that costs little.

Shape letters: B batch, T tokens, E embedding.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts

UNKNOWN = 1
"""Codes up to this one are padding and tokens that training did not see; they do not count."""


class Bag(nn.Module):
    """[B, T] int64 -> [B, E]: the average of the tokens' vectors.

    Args:
        vocabulary: number of codes.
        size: E.
        weighted: whether each token has a learned weight in the average (a softmax over the text's tokens).
    """

    def __init__(self, vocabulary: int, size: int, *, weighted: bool) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.vectors.weight, std=size**-0.5)
        self.weights = nn.Embedding(vocabulary, 1) if weighted else None
        if self.weights is not None:
            nn.init.zeros_(self.weights.weight)

    def forward(self, x: Tensor) -> Tensor:
        known = (x > UNKNOWN).unsqueeze(-1).to(self.vectors.weight.dtype)
        shares = known if self.weights is None else known * self.weights(x).clamp(-8, 8).exp()
        total = shares.sum(1).clamp_min(1e-6)
        out: Tensor = (self.vectors(x) * shares).sum(1) / total
        return out


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a bag of tokens, [B, T] int64 -> [B, outputs].

    `depth` hidden layers of `width` units follow the average; none is a linear classifier.

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the samples are no sentences, or a setting has a wrong value.
    """
    settings = parts.settings("bag", config)
    if inputs.kind != "tokens" or outputs.kind == "tokens":
        raise SpecError(
            "bag: it classifies sentences (prepare: {text: COLUMN}); for other data take mlp or transformer"
        )
    size, dropout = int(settings["embedding"]), float(settings["dropout"])
    layers: list[nn.Module] = [Bag(int(inputs.vocabulary or 0), size, weighted=bool(settings["weighted"]))]
    layers.append(nn.Dropout(dropout))
    for _ in range(int(settings["depth"])):
        layers += [nn.Linear(size, int(settings["width"])), nn.ReLU(), nn.Dropout(dropout)]
        size = int(settings["width"])
    return nn.Sequential(*layers, nn.Linear(size, int(outputs)))

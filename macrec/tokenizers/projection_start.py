"""An autoencoder that starts as a linear map: ReLU networks can be one exactly, as y = relu(y) - relu(-y)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from macrec.errors import DataError
from macrec.tokenizers.autoencoder import RQVAE


@torch.no_grad()
def start_as_projection(branch: RQVAE, x: Tensor) -> None:
    """Set the weights so that the latent of a vector is its first principal components, and decoding maps back.

    `x` `[N, dim]`: standardized vectors. In every hidden layer twice as many units as components carry them, once with
    either sign; the others keep their random weights and reach the outputs only as they learn. Latent dimensions beyond
    the vectors' own start at 0. Without dropout, encoder and decoder are then `x @ P` and `y @ P.T` exactly. Raises
    DataError for a network with a layer too narrow for that.
    """
    _, _, directions = torch.linalg.svd(x.double(), full_matrices=False)
    components = directions[: branch.config.width].to(x.dtype)  # [r, dim]
    identity = torch.eye(len(components), dtype=x.dtype, device=x.device)
    encoder, decoder = _linear(branch.encoder), _linear(branch.decoder)
    for place, layer in enumerate(encoder):
        _set(*layer, components if place == 0 else identity, whole=place == len(encoder) - 1)
    for place, layer in enumerate(decoder):
        last = place == len(decoder) - 1
        _set(*layer, components.T if last else identity, whole=last)


def _linear(network: nn.Sequential) -> list[tuple[nn.Linear, bool, bool]]:
    """The linear layers, and whether a ReLU is directly before and behind each."""
    kinds = [layer for layer in network if not isinstance(layer, nn.Dropout)]
    places = [place for place, layer in enumerate(kinds) if isinstance(layer, nn.Linear)]

    def relu(place: int) -> bool:
        return 0 <= place < len(kinds) and isinstance(kinds[place], nn.ReLU)

    return [(layer, relu(at - 1), relu(at + 1)) for at in places if isinstance(layer := kinds[at], nn.Linear)]


def _set(layer: nn.Linear, before: bool, behind: bool, core: Tensor, whole: bool) -> None:
    """Let a layer apply `core` `[a, b]` to b numbers, which come with both signs `before` a ReLU or go out with both.

    `whole`: all other outputs of the layer are 0 too, not random.
    """
    matrix = torch.cat([core, -core], 1) if before else core
    matrix = torch.cat([matrix, -matrix]) if behind else matrix
    rows, columns = matrix.shape
    if rows > layer.out_features or columns > layer.in_features:
        what = f"a layer of {layer.in_features} to {layer.out_features} units cannot carry {len(core)} components"
        raise DataError(what, field="network", fix='give a wider network, or the tokenizer "rqvae"')
    layer.weight[: len(layer.weight) if whole else rows] = 0
    layer.weight[:rows, :columns] = matrix
    layer.bias.zero_()

"""Causal self-attention for sequences without padding: only the products of queries and keys need a matrix.

Histories are short on average and padded to the longest: a network that computed its layers for every place of the
matrix would spend most of its time on padding. So everything else is computed for the places that hold an item.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def causal_attention(
    asks: Tensor, inside: Tensor, heads: int, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """What every place reads, `[P, width]`: `asks` `[P, 3 width]` are queries, keys and values, side by side.

    The P places are those `inside` `[B, T]`, row by row; in every row the True places come before all False ones, so
    that causality alone hides the padding. `bias` `[heads, T, T]`, query rows and key columns, is added to the scores
    and must be -inf for keys after the query; without it places are hidden by causality only.
    """
    width = asks.shape[1] // 3
    place = inside.flatten().nonzero().flatten()
    matrix = asks.new_zeros(inside.numel(), asks.shape[1]).index_copy(0, place, asks)
    query, key, value = matrix.view(*inside.shape, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    mask = None if bias is None else bias.expand(len(inside), -1, -1, -1)
    read = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=bias is None)
    return read.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, place)

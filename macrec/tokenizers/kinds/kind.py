"""The description of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True)
class Kind:
    """`name`: the value of the parameter `tokenizer`; `about`: one line; `options`: what may stand after the name.

    `idle`: flat parameters that change nothing here, such as those of terms that the tokenizer has not.
    """

    name: str
    about: str
    make: Callable[[Path, Dataset, Mapping[str, Embeddings], CodebookSettings], Tokenizer]
    options: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


BETWEEN = ("lambda_con", "contrast", "lambda_align", "lambda_cf")
"""Parameters of terms between modalities."""
TRAINED = ("quantizer", *BETWEEN)
"""Those, and the parameters of a quantizer that a network is trained with."""

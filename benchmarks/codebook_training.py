"""A training step of an RQ-VAE against the same autoencoder without a quantizer, and with ResidualVQ in its place."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.measure import peak
from macrec.tokenizers.autoencoder import RQVAE, RQVAEConfig

BATCH, DIM = 2048, 768
NETWORKS = {"paper": RQVAEConfig(), "demo": RQVAEConfig(projection=None, hidden=(512, 256, 128))}
Side = Literal["plain", "ours", "residual_vq"]


def records() -> list[dict[str, Any]]:
    """Two records per network: overhead over the plain autoencoder, and steps per second beside ResidualVQ."""
    if find_spec("vector_quantize_pytorch") is None:
        raise ValueError('vector-quantize-pytorch is missing: pip install "macrec[bench]"')
    found = []
    for network, steps in (("paper", 8), ("demo", 60)):
        measured = peak("benchmarks.codebook_training:sides", network=network, steps=steps)
        rate = {side: 1 / seconds for side, seconds in measured.result.items()}
        overhead = rate["plain"] / rate["ours"] - 1
        for other, what in (
            ("plain", "the same autoencoder without quantizer"),
            ("residual_vq", "vector-quantize-pytorch's ResidualVQ in the same autoencoder"),
        ):
            found.append(
                {
                    "name": f"training step, {network}",
                    "ours": round(rate["ours"], 2),
                    "theirs": round(rate[other], 2),
                    "ratio": round(rate["ours"] / rate[other], 2),
                    "limit": f"overhead over no quantizer {overhead:.0%}; goal 25 %",
                    "unit": "steps/s",
                    "peak_memory_mb": round(measured.peak_mb),
                    "note": f"batch {BATCH}, {DIM} dimensions, 4 levels of 256, AdamW; theirs: {what}; the three take "
                    "turns step by step in one process",
                }
            )
    return found


def sides(network: str, steps: int) -> dict[str, float]:
    """Median seconds per step of each side, which take turns so that all see the same machine."""
    torch.set_flush_denormal(True)
    x = torch.randn(BATCH, DIM, generator=torch.Generator().manual_seed(0))
    runs = {side: Stepper(network, side, x) for side in ("plain", "ours", "residual_vq")}
    seconds: dict[str, list[float]] = {side: [] for side in runs}
    for step in range(steps + 2):
        for side, run in runs.items():
            begin = time.perf_counter()
            run.step()
            if step >= 2:
                seconds[side].append(time.perf_counter() - begin)
    return {side: sorted(found)[len(found) // 2] for side, found in seconds.items()}


class Stepper:
    """One autoencoder with its optimizer and one of three middles."""

    def __init__(self, network: str, side: str, x: Tensor) -> None:
        self.side, self.x = side, x
        self.model = RQVAE(DIM, NETWORKS[network])
        self.middle: nn.Module | None = None
        if side == "residual_vq":
            from vector_quantize_pytorch import ResidualVQ

            config = NETWORKS[network]
            self.middle = ResidualVQ(
                dim=config.width,
                num_quantizers=len(config.sizes),
                codebook_size=config.sizes[0],
                commitment_weight=0.25,
            )
        with torch.no_grad():
            self.model.quantizer.initialize(self.model.encoder(x), 0, iterations=2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self) -> None:
        """Forward, backward, update; with our quantizer also the counting of codes, as in training."""
        if self.side == "ours":
            output = self.model(self.x)
            loss = output.reconstruction_loss + output.quantization_loss
            self.model.quantizer.observe(output.quantized)
        else:
            latent = self.model.encoder(self.x)
            commitment = latent.new_zeros(())
            if self.middle is not None:
                latent, _, commitments = self.middle(latent)
                commitment = commitments.sum()
            loss = mse_loss(self.model.decoder(latent), self.x) + commitment
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

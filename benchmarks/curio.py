"""Generating the built-in catalog at scale, and measuring with its oracle: seconds, rates and peak memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.measure import peak
from macrec.data.curio import curio
from macrec.data.curio.world import Settings, build
from macrec.data.split import leave_one_out


def records(users: int = 1_250_000) -> list[dict[str, Any]]:
    """The large shop, the shopper loop a user would write (a small part of it), and the oracle on the demo shop."""
    large = peak("benchmarks.curio:generate", users=users)
    loop = peak("benchmarks.curio:shop_with_a_loop", users=2_000)
    ours, theirs = large.result["events"] / large.seconds, loop.result["events"] / loop.result["seconds"]
    scored = peak("benchmarks.curio:score", users=4_000)
    looped = peak("benchmarks.curio:score_with_a_loop", users=40)
    fast, slow = 4_000 / scored.result["seconds"], 40 / looped.result["seconds"]
    np.testing.assert_array_equal(scored.result["ranks"][:40], looped.result["ranks"])
    return [
        {
            "name": "curio_large",
            "ours": round(ours),
            "theirs": round(theirs),
            "ratio": round(ours / theirs, 1),
            "limit": f"everything, texts included, in {large.seconds:.0f} s; goal 300 s and 8,590 MB",
            "unit": "events/s",
            "peak_memory_mb": round(large.peak_mb),
            "note": f"{large.result['items']:,} items, {large.result['events']:,} events; theirs: numpy's choice for "
            f"each event over {loop.result['items']:,} items",
        },
        {
            "name": "curio_oracle",
            "ours": round(fast),
            "theirs": round(slow),
            "ratio": round(fast / slow, 1),
            "limit": f"one GEMM of B·Z·N: {scored.result['gemm']:,.0f} users/s",
            "unit": "users/s",
            "peak_memory_mb": round(scored.peak_mb),
            "note": "rank of the test item among 2,000 under the true probabilities; theirs: Bayes' rule, user by user",
        },
    ]


def generate(users: int) -> dict[str, int]:
    """The large shop with `users` shoppers."""
    shop = curio("large", num_users=users)
    return {"items": shop.num_items, "events": shop.num_events}


def shop_with_a_loop(users: int) -> dict[str, Any]:
    """Histories drawn event by event, as one would write it first; on 20,000 items, or it would take too long."""
    world = build(Settings(num_items=20_000, num_users=users))
    rng = np.random.default_rng(0)
    events, begin = 0, time.perf_counter()
    for _ in range(users):
        taste = rng.integers(world.num_tastes)
        history = [rng.choice(20_000, p=world.weight[taste])]
        for _ in range(7):
            weight = world.complement[world.cell[history[-1]], world.cell] * world.weight[taste]
            weight[history] = 0
            history.append(rng.choice(20_000, p=weight / weight.sum()))
        events += len(history)
    return {"events": events, "items": 20_000, "seconds": time.perf_counter() - begin}


def score(users: int) -> dict[str, Any]:
    """Ranks of the test items by the oracle, and how fast its one large product alone would be."""
    shop = curio()
    samples = leave_one_out(shop.histories, 100).test.take(np.arange(users))
    begin = time.perf_counter()
    ranks = shop.oracle.ranks(samples)
    seconds = time.perf_counter() - begin
    posterior = np.full((users, shop.world.num_tastes), 1 / shop.world.num_tastes)
    begin = time.perf_counter()
    posterior @ shop.world.weight
    return {"ranks": ranks.tolist(), "seconds": seconds, "gemm": users / (time.perf_counter() - begin)}


def score_with_a_loop(users: int) -> dict[str, Any]:
    """The same ranks by Bayes' rule written out for one user after another."""
    shop = curio()
    world, samples = shop.world, leave_one_out(shop.histories, 100).test
    ranks, begin = [], time.perf_counter()
    for user in range(users):
        history = samples.history(user)
        likelihood = np.ones(world.num_tastes)
        predictive = np.zeros(shop.num_items)
        for taste in range(world.num_tastes):
            free = np.ones(shop.num_items)
            for step in range(len(history) + 1):
                move = world.complement[world.cell[history[step - 1]], world.cell] if step else 1.0
                chance = free * move * world.weight[taste]
                chance /= chance.sum()
                if step < len(history):
                    likelihood[taste] *= chance[history[step]]
                    free[history[step]] = 0
            predictive += likelihood[taste] * chance
        ranks.append(int((predictive >= predictive[samples.targets[user]]).sum()))
    return {"ranks": ranks, "seconds": time.perf_counter() - begin}

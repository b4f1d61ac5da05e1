"""What metrics are called in tables, figures and sentences: metrics.json nests short keys, and people read words.

A key is the path to a number, dotted: NOTEBOOK.PART.PART.MEASURE, such as "03_codebooks.measured.conflict_rate/text".
Every part has its words here; one that is unknown is shown as it is, without underscores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from macrec.terms import Term

OWN_WEIGHT = "cross-modal λ"
"""How keys call the codebooks at the run's own lambda_con, which notebook 03 names after its value."""

MEASURES = {
    "conflict_rate": "conflict rate",
    "dead_codes": "dead codewords",
    "utilization": "utilization",
    "perplexity": "perplexity",
    "information": "information on the other modality (nats)",
    "reconstruction": "reconstruction error",
    "first_codes": "codewords used at the first level",
    "moved": "items moved out of conflicts",
    "residual_left": "residual norm after the last level",
    "info_nce": "implicit alignment loss (nats)",
    "distance/same": "distance of the states of one item",
    "distance/other": "distance of the states of different items",
    "items": "items",
    "users": "users",
    "events": "events",
    "users whose lists differ": "users whose lists differ between beam and exact ranking",
    "seconds": "seconds of training",
    "cpu_seconds": "CPU seconds of training",
    "samples": "training samples",
    "steps": "optimizer steps",
    "difference": "difference",
    "low": "lower end of the 95% interval of the difference",
    "high": "upper end of the 95% interval of the difference",
    "p": "p-value of the difference",
    "scores": "score",
    "sharing": "items that share an ID with another",
    "differ": "users for whom the systems differ",
    "present": "items with a vector",
    "purity": "purity of neighbors",
    "chance": "purity of neighbors by chance",
    "shared_neighbors": "shared neighbors",
    "shared_by_chance": "shared neighbors by chance",
    "gradient": "gradient norm",
    "share": "share of positives",
    "loss": "loss",
    "left": "conflicts left",
    "added": "distortion added",
    "missing": "share of items missing a value",
    "history_length": "events per user",
    "item_events": "events per item",
    "history": "length of a training history",
    "core": "k of the k-core",
    "head_share": "share of events on the most popular tenth of the items",
    "tied_times": "share of neighboring events at the same time",
    "repeats": "events whose item the user already had",
    "behaviors": "events by behavior",
    "full_history": "share of training histories at the longest length",
    "images_decoded": "pictures that decode",
    "unseen_valid": "validation targets without training events",
    "unseen_test": "test targets without training events",
    "test_history_mean": "mean length of a test history",
    "train": "training samples",
    "valid": "validation samples",
    "test": "test samples",
}
"""Keys of measures, or their families where they end in a modality or level as `macrec.terms` names them."""

RANKING = re.compile(r"([A-Za-z]+@\d+)(?: (in-set|cold))?(?: (masked)|, (beam|exact))?")
"""Measures of rankings keep their names; behind them may stand the kind of targets, and the protocol or the search."""

GROUPS = {
    "independent": "trained independently",
    "rows": "mean of all trainings",
    "ablation": "ablation",
    "beam": "beam and exact ranking compared",
    "differences": "from the reference",
    "groups": "by group of users",
    "ablation_differences": "ablation",
    "lead": "between the best two",
    "against": "the other system",
    "subsets": "reading these modalities only",
    "new_items": "steps of LIGER",
}
"""First parts that say where in a notebook it was measured."""

PARTS = {
    OWN_WEIGHT: "cross-modal codebooks",
    "independent": "independent codebooks",
    "published code": "codebooks of the published code",
    "published": "the published code",
    "corrected": "the corrected form",
    "in-set": "targets with training events",
    "true": "true labels",
    "shuffled": "shuffled labels",
    "tuned": "tuned fusion",
    "union_rescore": "fusion by rescoring the union",
    "mean_floor": "fusion by means with a floor",
    "logmeanexp": "fusion by log-mean-exp",
    "with both": "items with both modalities",
    "lacking one": "items without one modality",
    "head": "popular targets",
    "tail": "rare targets",
    "cold": "targets without training events",
    "short history": "users with a short history",
    "long history": "users with a long history",
}
"""Parts that say what was measured."""

CIRCUMSTANCES = {
    "before": "before training",
    "after": "after training",
    "validation": "validation users",
    "unmasked": "unmasked",
    "masked": "masked",
    "beam": "beam search",
    "exact": "exact ranking",
    "min": "smallest",
    "max": "largest",
    "mean": "mean",
    "median": "median",
}
"""Parts that say how or when it was measured."""

UNSAID = frozenset(
    {"measured", "systems", "comparison", "alignment", "card", "split", "ceiling", "purity", "fusions", "gradients"}
    | {"positives", "losses", "resolvers", "differences", "shared_ids", "by_presence"}
)
"""Parts that only group others."""

LOWER = re.compile(
    r"conflict|dead[_ ]code|reconstruction|loss|distance/same|states of one item|info_nce|missed|unfilled|residual"
    r"|seconds|moved|added|sharing|share an ID|p[_-]value|\.(left|p)$",
    re.IGNORECASE,
)


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better, as with conflicts, losses and errors; `metric` is its key or its words."""
    return LOWER.search(metric) is not None


def metric_words(key: str) -> str:
    """The key of a metric in words, without its notebook: the measure, of what, and under which circumstances.

    >>> metric_words("03_codebooks.comparison.cross-modal λ.text.conflict_rate")
    'conflict rate of text, cross-modal codebooks'
    >>> metric_words("06_generation.measured.NDCG@10/validation"), metric_words("my.own_score")
    ('NDCG@10, validation users', 'own score')
    >>> metric_words("08_evaluation.groups.unmasked.without picture.scores.MACRec")
    'score of MACRec, those without picture, unmasked, by group of users'
    """
    _, parts = _divided(key)
    place = next((place for place in reversed(range(len(parts))) if _measure(parts[place])), len(parts) - 1)
    measure, inside = _measure(parts[place]) or (_plain(parts[place]), [])
    before, group = parts[:place], ""
    if before and before[0] in GROUPS:
        group = GROUPS[before.pop(0)]
    others = [part for part in (*inside, *reversed(before + parts[place + 1 :])) if part not in UNSAID]
    of = [_part(part) for part in others if not _is_circumstance(part)]
    how = [CIRCUMSTANCES.get(part, part) for part in others if _is_circumstance(part)]
    return ", ".join([f"{measure} of {', '.join(of)}" if of else measure, *how, *([group] if group else [])])


def metric_names(keys: Sequence[str], taken: Collection[str] = ()) -> tuple[str, ...]:
    """The words of every key, each once and none of `taken`: where words are alike, the notebook or a number tells."""
    words = [metric_words(key) for key in keys]
    often = Counter([*words, *taken])
    names: list[str] = []
    for key, name in zip(keys, words, strict=True):
        longer = name if often[name] == 1 else f"{name}, notebook {_notebook(key)}"
        alike = sum(other == longer or other.startswith(f"{longer} (") for other in (*names, *taken))
        names.append(f"{longer} ({alike + 1})" if alike else longer)
    return tuple(names)


def _divided(key: str) -> tuple[str, list[str]]:
    """The notebook of a key and its other parts; a dot between two digits belongs to a number."""
    notebook, *parts = re.split(r"(?<!\d)\.|\.(?!\d)", key)
    return (notebook, parts) if parts else ("", [notebook])


def _notebook(key: str) -> str:
    """The number of the notebook, or its name where it has none."""
    notebook, _ = _divided(key)
    number = re.match(r"\d\d(?=_)", notebook)
    return number[0] if number else _plain(notebook)


def _measure(part: str) -> tuple[str, list[str]] | None:
    """The words of a part that names a measure, and the parts that its own name holds; None for other parts."""
    if part in MEASURES:
        return MEASURES[part], []
    if ranking := RANKING.fullmatch(part):
        return ranking[1], [how for how in ranking.groups()[1:] if how]
    term = Term.of(part)
    if term.family not in MEASURES and not RANKING.fullmatch(term.family):
        return None
    return MEASURES.get(term.family, term.family), [inner for inner in (term.modality, term.level) if inner]


def _part(part: str) -> str:
    """The words of a part that says what was measured."""
    if part.isdecimal():
        return f"level {part}"
    weight = re.fullmatch(rf"{OWN_WEIGHT}=(.+)", part)
    if weight:
        return f"cross-modal codebooks at λ = {weight[1]}"
    if part not in PARTS and part.startswith(("with ", "without ")):
        return f"those {_plain(part)}"
    return PARTS.get(part) or _plain(part)


def _is_circumstance(part: str) -> bool:
    return part in CIRCUMSTANCES or part.startswith("at ")


def _plain(part: str) -> str:
    """An unknown part without underscores, its slashes as commas."""
    return ", ".join(piece for piece in part.replace("_", " ").split("/") if piece) or part

"""The mutations that `make mutants` tries: one change each, and the tests that must fail under it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in `file` and becomes `new`; `tests` must then fail. `reason`: why none can, if so."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    reason: str = ""


def mutants(file: str, tests: str, *changes: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one file, all noticed by the same tests (names apart by blanks); a change may carry its reason."""
    return [Mutant(file, old, new, tuple(tests.split()), *reason) for old, new, *reason in changes]


MUTANTS = [
    # --- quantization -------------------------------------------------------------------------------------------------
    *mutants(
        "macrec/tokenizers/contrastive.py",
        "tests/tokenizers/test_contrastive.py",
        ("both - 2 * (scaled * b)", "both - (scaled * b)"),
        ("_log_sum_exp(scaled, b) + _log_sum_exp(b, scaled)", "_log_sum_exp(scaled, b) + _log_sum_exp(scaled, b)"),
        ("/ count.clamp(min=1), count / len(x)", "/ len(x), count / len(x)"),
        ("step = 1 + (draws * (size - 1)).long()", "step = (draws * size).long()"),
        ("others = (sums[start] - wide)", "others = sums[start]"),
        ("other = (labels[:, None] != labels) | (labels < 0)", "other = labels[:, None] != labels"),
        ("((group[:, None] == group) & other)", "other"),
        ("if not diagonal:", "if diagonal:"),
        ("length < SHORTEST, math.inf", "length < SHORTEST, 1.0"),
    ),
    *mutants(
        "macrec/quantization/residual_quantizer.py",
        "tests/quantization/test_residual_quantizer.py",
        ("mse_loss(choice.word, residual.detach())", "mse_loss(choice.word, residual)"),
        ("mse_loss(residual, choice.word.detach())", "mse_loss(residual, choice.word)"),
        ("self._through(z, passed)", "passed"),
        ("rows = rows - codebook[code]", "rows = rows + codebook[code]"),
        ("self.initialized.fill_(True)", "self.initialized.fill_(False)"),
    ),
    *mutants(
        "macrec/quantization/quantizers/ema.py",
        "tests/quantization/test_quantizers.py",
        ("smooth = (count + 1e-5)", "smooth = (count + 1e-1)"),
        ("lerp_(sums, 1 - self.decay)", "lerp_(sums, self.decay)"),
    ),
    *mutants(
        "macrec/quantization/quantizers/gumbel.py",
        "tests/quantization/test_quantizers.py",
        ("(self.temperature * scale)", "scale"),
        ("relaxed - relaxed.detach()", "relaxed.detach() - relaxed.detach()"),
    ),
    *mutants(
        "macrec/tokenizers/cross_modal.py",
        "tests/tokenizers/test_cross_modal.py",
        ("cross_modal * self.config.lambda_align", "self.config.lambda_align"),
        ("cross_modal * weight", "weight"),
        ("if other != name]", "]"),
        ("x[name][labels[name] >= 0]", "x[name]"),
        ("(labels[one] >= 0) & (labels[two] >= 0)", "(labels[one] >= 0)"),
        ('if self.config.align_on == "encoder" else', 'if self.config.align_on == "both" else'),
    ),
    *mutants(
        "macrec/quantization/conflicts.py",
        "tests/quantization/test_conflicts.py",
        (
            "order = np.lexsort((rows, error, later, keys[rows]))",
            "order = np.lexsort((rows, -error, later, keys[rows]))",
        ),
        ("return rows[np.lexsort((rows, error))]", "return rows[np.lexsort((error, rows))]"),
        ("scores[taken] = np.inf", "pass"),
        ("cross = 2 * first @ second.T", "cross = first @ second.T"),
        ("if n > math.prod(sizes):", "if n >= math.prod(sizes):"),
        ("if end - begin <= len(last):", "if end - begin < len(last):"),
    ),
    *mutants(
        "macrec/quantization/health.py",
        "tests/quantization/test_health.py macrec/quantization/health.py",
        ("conflict_rate=(items - len(sizes)) / items", "conflict_rate=(items - len(sizes)) / len(sizes)"),
        ("sizes[sizes > 1].sum()", "sizes[sizes > 2].sum()"),
        ("(sizes * (sizes - 1) // 2)", "(sizes * sizes // 2)"),
        ("np.log2(share)", "np.log(share)"),
        ("(2 * place - k - 1)", "(2 * place - k)"),
    ),
    *mutants(
        "macrec/tokenizers/training.py",
        "tests/tokenizers/test_training.py",
        ("round(recipe.warmup_share * recipe.epochs) * self.per_epoch", "0"),
        ("max(1, round(len(self.learned) / recipe.batch))", "max(1, len(self.learned) // recipe.batch + 1)"),
    ),
    *mutants(
        "macrec/quantization/kmeans.py",
        "tests/quantization/test_kmeans.py",
        ("norms[:, None] + norms[drawn] - 2 * products", "norms[:, None] + norms[drawn] - products"),
        ("dear - dear.min(1, keepdim=True).values", "dear - dear.max(1, keepdim=True).values"),
        ("trials = 2 + int(math.log(k))", "trials = 1", "one trial also gives k-means++, a little worse"),
    ),
    # --- generation ---------------------------------------------------------------------------------------------------
    *mutants(
        "macrec/generation/beam.py",
        "tests/generation/test_beam.py",
        ("total = scores[..., None] + log_p", "total = log_p"),
        ("parents = best // children.codes.shape[-1]", "parents = best % children.codes.shape[-1]"),
        ('over = chosen if normalize == "children" else logits', "over = logits"),
        ("again[:, 1:] = leaves[:, 1:] == leaves[:, :-1]", "again[:, 1:] = False"),
        ("return until - before == end - begin", "return until > before"),
        ("trie.expand(nodes, scores, k or beams)", "trie.expand(nodes, scores, beams)"),
    ),
    *mutants(
        "macrec/generation/trie.py",
        "tests/generation/test_beam.py tests/generation/test_exact.py",
        ("new[1:] |= column[1:] != column[:-1]", "new[1:] = column[1:] != column[:-1]"),
        ("exists = child < end[..., None]", "exists = child <= end[..., None]"),
        ("right=True) - 1", "right=False) - 1"),
        ("offset = place - (ends - count).gather(1, beam)", "offset = place - ends.gather(1, beam)"),
        ("[nodes] > 1", "[nodes] > 2"),
        ("children.codes[:, :1])", "0)"),
    ),
    *mutants(
        "macrec/generation/fusion.py",
        "tests/generation/test_fusion.py",
        ("NDArray[np.float64], share / share.sum())", "NDArray[np.float64], share)"),
        ("np.where(ranked.all(2), total / 2 + 1, total)", "np.where(ranked.all(2), total / 2, total)"),
        ("np.where(ranked, scores, np.inf).min(1", "np.where(ranked, scores, -np.inf).max(1"),
        ("np.log(np.exp(scores - top) @ share) + top[..., 0]", "np.log(np.exp(scores - top) @ share)"),
    ),
    *mutants(
        "macrec/generation/training.py",
        "tests/generation/test_training.py tests/systems/test_generative.py",
        ("(self.recipe.seed, epoch))", "(self.recipe.seed, 0))"),
        ("generator_for(self.recipe.seed, ALIGNED, step)", "generator_for(self.recipe.seed, ALIGNED, 0)"),
        ("loss = loss + self.recipe.lambda_implicit * implicit", "loss = loss + implicit"),
        ("warmup=round(self.recipe.warmup * steps)", "warmup=0"),
        ("clip=self.recipe.clip", "clip=None"),
        ("weight_decay=self.recipe.weight_decay", "weight_decay=0.0"),
        ('(Keep(self.recipe.monitor, "highest"),)', '(Keep(self.recipe.monitor, "lowest"),)'),
        ("return total / self.tables.levels[modality]", "return total"),
    ),
    *mutants(
        "macrec/models/t5.py",
        "tests/models/test_t5.py",
        (".triu(1)", ".triu(2)"),
        ("query.weight, std=(d_model * d_kv) ** -0.5", "query.weight, std=d_model ** -0.5"),
    ),
    *mutants("macrec/models/relative_positions.py", "tests/models/test_t5.py", ("buckets //= 2", "buckets //= 1")),
    *mutants(
        "macrec/models/kv_cache.py",
        "tests/models/test_t5.py",
        (
            "rows = (places + (users + parents).flatten()).flatten()",
            "rows = (places + (users + 0 * parents).flatten()).flatten()",
        ),
    ),
    *mutants(
        "macrec/generation/exact.py",
        "tests/generation/test_exact.py",
        ("branch = scorer.fork()", "branch = scorer"),
        ("return float(np.mean(lacking.any(1)))", "return float(np.mean(lacking))"),
    ),
    *mutants(
        "macrec/generation/exact.py",
        "tests/generation/test_exact.py",
        ("(end - first == 1)", "(end - first <= 2)"),
    ),
    *mutants(
        "macrec/generation/causal.py",
        "tests/generation/test_causal.py",
        ("part * read[:, number, None]", "part"),
        ("own * read.all(1)[:, None]", "own"),
        ("else table + self.item_vectors", "else table"),
        ("word if prefix is None else prefix + word", "word"),
        ("~trie.allowed(level, nodes[level][rows])", "trie.allowed(level, nodes[level][rows])"),
        ("if asked is None else asked[number]", "if asked is None else asked[0]"),
        ("newest = (inside.sum(1).cumsum(0) - 1)", "newest = (inside.sum(1).cumsum(0) - inside.sum(1))"),
        ("chosen = chosen + prefix[", "chosen = prefix["),
        ("read = read.repeat_interleave(inside.sum(1), 0)", "read = read.repeat_interleave(inside.sum(1), 0).flip(0)"),
    ),
    *mutants(
        "macrec/generation/causal_training.py",
        "tests/generation/test_causal.py",
        ("events[places[asked] + 1]", "events[places[asked]]"),
        ("names.index(task.target), names.index(task.source)", "names.index(task.source), names.index(task.target)"),
        ("recipe.item_weight * terms", "terms"),
        ("recipe.dense_weight * terms", "terms"),
        ("generator_for(recipe.seed, VIEWS, step)", "generator_for(recipe.seed, VIEWS)"),
    ),
    *mutants(
        "macrec/models/causal.py",
        "tests/models/test_causal.py tests/generation/test_causal.py",
        (".triu(1)", ".triu(2)"),
    ),
    *mutants(
        "macrec/models/code_heads.py",
        "tests/models/test_causal.py",
        ("query = read[..., :width] + ", "query = "),
        ("read = read + prefix", "read = read - prefix"),
    ),
    *mutants(
        "macrec/models/dense_head.py",
        "tests/generation/test_causal.py",
        (".T + self.bias", ".T"),
        ("table + self.get_buffer", "table - self.get_buffer"),
        ("seen_only: ClassVar[bool] = True", "seen_only: ClassVar[bool] = False"),
        ("normalize(states, dim=1)", "states"),
    ),
    *mutants(
        "macrec/systems/liger.py",
        "tests/systems/test_liger.py",
        ("candidates |= learned(self._cold, self.name)", "candidates |= ~learned(self._cold, self.name)"),
        ("samples.padded() if mask_seen else None", "None"),
    ),
    # --- training -----------------------------------------------------------------------------------------------------
    *mutants(
        "macrec/training/muon.py",
        "tests/training/test_muon.py",
        ("parameter.grad.lerp(kept, momentum)", "kept"),
        ("math.sqrt(max(1.0, rows / columns))", "1.0"),
        ('(1 - group["lr"] * group["weight_decay"])', "(1)"),
    ),
    *mutants(
        "macrec/training/plan.py",
        "tests/test_training.py tests/training/test_optimizer.py",
        ('value < than if self.best == "lowest"', 'value > than if self.best == "lowest"'),
        ("else value > than", "else value >= than"),
        ("climb = min(1.0, (step + 1) / self.warmup)", "climb = min(1.0, step / self.warmup)"),
        ("max(1, self.steps - self.warmup)", "max(1, self.steps)"),
        ('if self.schedule == "constant":', "if True:"),
    ),
    *mutants(
        "macrec/training/state.py",
        "tests/test_training.py tests/training/test_optimizer.py tests/training/test_resumption.py",
        ("draw = mixed(self.plan.seed, self.step)", "draw = mixed(self.plan.seed, 0)"),
        ("self.waited >= self.plan.patience", "self.waited > self.plan.patience"),
        ("0 if better & awaited else self.waited + 1", "0 if better else self.waited + 1"),
        ("self.best_weights[name] = value.clone()", "self.best_weights[name] = value"),
    ),
    # --- evaluation ---------------------------------------------------------------------------------------------------
    *mutants(
        "macrec/evaluation/metrics.py",
        "tests/evaluation/test_metrics.py macrec/evaluation/metrics.py",
        ("(ranks <= k)", "(ranks < k)"),
        ("np.log2(1.0 + place)", "np.log2(2.0 + place)"),
        ("(ranks != NOT_RANKED) & ", ""),
        ('"MRR": 1.0 / place', '"MRR": 1.0 / (1.0 + place)'),
    ),
    *mutants(
        "macrec/evaluation/significance.py",
        "tests/evaluation/test_significance.py",
        ("(0.025, 0.975)", "(0.05, 0.95)"),
        ("(as_far + 1) / (resamples + 1)", "as_far / resamples"),
        ("rng.integers(runs, size=(len(means), runs - 1))", "rng.integers(runs, size=(len(means), runs))"),
    ),
    # --- systems ------------------------------------------------------------------------------------------------------
    *mutants(
        "macrec/systems/tuned.py",
        "tests/systems/test_baselines.py",
        (
            "age = np.repeat(offsets[1:], length) - np.arange(offsets[-1]) - 1",
            "age = np.repeat(offsets[1:], length) - np.arange(offsets[-1])",
        ),
        ("np.minimum(samples.lengths, last)", "samples.lengths"),
    ),
    *mutants(
        "macrec/systems/transition_graph.py",
        "tests/systems/test_baselines.py",
        ("settings.reverse * counts.T", "settings.reverse * counts"),
        ("** -power", "** power"),
    ),
    *mutants(
        "macrec/data/transitions.py",
        "tests/systems/test_baselines.py tests/encoders/test_collaborative.py",
        ("np.full(len(place), 1.0 / gap)", "np.full(len(place), 1.0)"),
        ("place = train.target[train.target - gap >= train.start]", "place = train.target[train.target - gap >= 0]"),
    ),
    *mutants(
        "macrec/encoders/collaborative.py",
        "tests/encoders/test_collaborative.py",
        ("counts + counts.T", "counts"),
        ("kept = pmi > 0", "kept = pmi > 1"),
        ("* np.sqrt(lengths)", ""),
    ),
    # --- alignment, data ----------------------------------------------------------------------------------------------
    *mutants(
        "macrec/data/split.py",
        "tests/data/test_dataset.py tests/data/test_published_split.py tests/systems/test_baselines.py",
        ("np.maximum(self.start, self.target - count)", "np.maximum(self.start, self.target - count - 1)"),
        (
            "last = histories.offsets[1:][histories.lengths >= 3]",
            "last = histories.offsets[1:][histories.lengths >= 2]",
        ),
        ("parts[last - 2], parts[last - 1] = VALID, TEST", "parts[last - 2], parts[last - 1] = TEST, VALID"),
        ("np.add.at(edges, train.target + 1, -1)", "np.add.at(edges, train.target, -1)"),
        ("(np.diff(numbers[place]) < 0)", "(np.diff(numbers[place]) < -1)"),
    ),
    *mutants(
        "macrec/data/ranking.py",
        "tests/data/test_ranking.py macrec/data/ranking.py",
        ("first = np.arange(scores.shape[1]) <= place", "first = np.arange(scores.shape[1]) < place"),
        ("((theirs == own) & (out < place))", "((theirs == own) & (out > place))"),
        ("missing |= (exclude == place).any(axis=1)", "missing |= False"),
        ("(np.diff(out, axis=1, prepend=PADDING) != 0)", "True"),
        ('order = np.argsort(-top, axis=1, kind="stable")', "order = np.argsort(-top, axis=1)[:, ::-1]"),
    ),
    *mutants(
        "macrec/data/formats/kcore.py",
        "tests/data/formats/test_kcore.py macrec/data/formats/kcore.py",
        (">= k)[users] &", ">= k)[users] |"),
        ("left = left[enough]", "left = left[enough]\n        break"),
    ),
    *mutants(
        "macrec/data/reading/ordering.py",
        "tests/data/reading/test_ordering.py tests/data/formats/test_movielens.py tests/data/formats/test_recbole.py",
        ("np.lexsort((events[by].to_numpy(), user))", "np.lexsort((-events[by].to_numpy(), user))"),
        ("row=first_row + row,", "row=row,"),
    ),
    *mutants(
        "macrec/data/text.py",
        "tests/data/test_text.py macrec/data/text.py",
        ('if "&" in text:', 'if "&amp;" in text:'),
        ('kept = text[: LONGEST + 1].rpartition(" ")[0]', "kept = text[:LONGEST]"),
        ("filter(~spilled)", "filter(spilled.is_not_null())"),
    ),
    *mutants(
        "macrec/data/formats/movielens.py",
        "tests/data/formats/test_movielens.py macrec/data/formats/movielens.py",
        ("GENRES_100K[1:]", "GENRES_100K"),
        ("first_row=2 if release.header else 1", "first_row=1"),
    ),
    *mutants(
        "macrec/generation/implicit.py",
        "tests/generation/test_implicit.py",
        ("weight.sum(1).clamp(min=1)", "mask.shape[1]"),
        ("_padded(two, width)", "_padded(one, width)"),
    ),
    *mutants(
        "macrec/tokenizers/pseudo_labels.py",
        "tests/tokenizers/test_pseudo_labels.py",
        ("embeddings.standardized(rows)", "embeddings.values[rows].astype(np.float32)"),
        ("np.full(len(embeddings), -1, np.int32)", "np.full(len(embeddings), 0, np.int32)"),
    ),
    *mutants(
        "macrec/evaluation/validation.py",
        "tests/evaluation/test_validation.py",
        ("return split.valid.take", "return split.test.take"),
        ("default_rng([seed, PURPOSE])", "default_rng()"),
    ),
]

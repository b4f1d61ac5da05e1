"""The cross-modal RQ-VAE: which term reaches which parameter, and the bugs of the published code kept out."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.contrastive import prefix_repulsion
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE

DIMS = {"text": 9, "image": 7, "sound": 5}
SMALL = CrossModalConfig(
    RQVAEConfig(projection=8, hidden=(16,), width=4, sizes=(6, 5, 4)), lambda_con=(0.0, 0.02, 0.01), lambda_align=0.03
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator():
    return torch.Generator().manual_seed(5)


def model(config=SMALL, modalities=("text", "image"), dtype=torch.float64):
    """A small model in float64 with codebooks as long as its latents."""
    made = CrossModalRQVAE({name: DIMS[name] for name in modalities}, config, seed=1)
    for number, name in enumerate(modalities):
        branch = made.branch(name)
        branch.quantizer.initialize(branch.encoder(normal(200, DIMS[name], seed=40 + number)).detach(), seed=0)
    return made.to(dtype)


def batch(modalities=("text", "image"), size=32, dtype=torch.float64):
    x = {name: normal(size, DIMS[name], seed=number).to(dtype) for number, name in enumerate(modalities)}
    labels = {
        name: torch.randint(5, (size,), generator=torch.Generator().manual_seed(9 + number))
        for number, name in enumerate(modalities)
    }
    return x, labels


def terms_of(made, x, labels):
    outputs = made(x, labels)
    return outputs, by_name(made.losses(outputs, labels, generator()))


def by_name(terms):
    return {str(term): value for term, value in terms.items()}


def total(made, terms, **options):
    weights = by_name(made.weights(**options))
    return sum(weights[name] * term for name, term in terms.items())


def gradients(made, loss):
    """The gradient of every parameter by name, zeros where there is none."""
    found = torch.autograd.grad(loss, list(made.parameters()), allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(made.named_parameters(), found, strict=True)
    }


def reached(made, loss):
    """Which parts a loss sends a gradient to, such as "text.encoder"."""
    found = {name for name, gradient in gradients(made, loss).items() if gradient.any()}
    return {".".join(name.split(".")[1:3]) for name in found}


def supcon(x, labels, temperature):
    """The supervised contrastive loss written out: cosines, without self, mean over the anchors with a positive."""
    x = x / x.norm(dim=1, keepdim=True)
    losses = []
    for i in range(len(x)):
        same = [j for j in range(len(x)) if j != i and labels[j] == labels[i] >= 0]
        total = sum(math.exp(float(x[i] @ x[j]) / temperature) for j in range(len(x)) if j != i)
        if same:
            losses.append(-sum(float(x[i] @ x[j]) / temperature - math.log(total) for j in same) / len(same))
    return sum(losses) / len(losses) if losses else 0.0


def aligned(a, b, temperature):
    """InfoNCE in both directions, written out."""
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    scores = a @ b.T / temperature
    rows, columns = torch.log_softmax(scores, 1), torch.log_softmax(scores, 0)
    return float(-(rows.diagonal().mean() + columns.diagonal().mean()))


@pytest.mark.parametrize("modalities", [("text", "image"), ("text", "image", "sound")])
def test_the_terms_agree_with_written_out_loops(modalities):
    """With three modalities the contrast is the mean over the two others, the alignment the sum over the pairs."""
    made = model(modalities=modalities)
    x, labels = batch(modalities)
    labels[modalities[0]][[2, 3]] = -1
    labels[modalities[1]][[3, 5]] = -1
    with torch.no_grad():
        outputs, terms = terms_of(made, x, labels)
    for name in modalities:
        for level in (1, 2):
            expected = [
                supcon(outputs[name].quantized.residuals[level], labels[other][labels[name] >= 0], 0.1)
                for other in modalities
                if other != name
            ]
            found = terms[f"contrastive/{name}/{level}"].item()
            assert found == pytest.approx(sum(expected) / len(expected), rel=1e-9)
    expected = 0.0
    for one, other in combinations(modalities, 2):
        both = (labels[one] >= 0) & (labels[other] >= 0)
        words = [outputs[name].quantized.words[both[labels[name] >= 0]] for name in (one, other)]
        expected += aligned(*words, 0.1)
    assert terms["alignment"].item() == pytest.approx(expected, rel=1e-9)
    assert terms.keys() <= by_name(made.weights()).keys() and "contrastive/text/0" not in terms


def test_one_modality_is_an_rqvae_on_its_own():
    made = model(modalities=("text",))
    x, labels = batch(("text",))
    _, terms = terms_of(made, x, labels)
    assert set(terms) == {"reconstruction/text", "quantization/text"}
    alone = made.branch("text")(x["text"])
    assert torch.equal(total(made, terms), alone.reconstruction_loss + alone.quantization_loss)


def test_without_cross_modal_terms_the_branches_do_not_know_each_other():
    made = model(SMALL.independent())
    x, labels = batch()
    _, terms = terms_of(made, x, labels)
    assert set(terms) == {f"{term}/{name}" for term in ("reconstruction", "quantization") for name in x}
    parts = reached(made, terms["reconstruction/text"] + terms["quantization/text"])
    assert parts == {f"text.{part}" for part in ("encoder", "quantizer", "decoder")}


@pytest.mark.parametrize("modalities", [("text", "image"), ("text", "image", "sound")])
def test_the_order_of_the_rows_does_not_matter(modalities):
    made = model(modalities=modalities)
    x, labels = batch(modalities)
    labels["image"][4] = -1
    order = torch.randperm(32, generator=generator())
    _, terms = terms_of(made, x, labels)
    _, permuted = terms_of(
        made, {name: rows[order] for name, rows in x.items()}, {name: label[order] for name, label in labels.items()}
    )
    for name, term in terms.items():
        torch.testing.assert_close(permuted[name], term, rtol=1e-10, atol=1e-12)


def test_names_of_labels_do_not_matter():
    made = model()
    x, labels = batch()
    _, terms = terms_of(made, x, labels)
    renamed = {"text": 77 - labels["text"], "image": labels["image"] * 1000}
    for name, term in terms_of(made, x, renamed)[1].items():
        torch.testing.assert_close(term, terms[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("moved", "changed"), [("image", "text"), ("text", "image")])
def test_pseudo_labels_of_one_modality_act_on_the_other_and_on_nothing_else(moved, changed):
    """T24: in the published code they act nowhere."""
    made = model(replace(SMALL, lambda_align=0.0))
    x, labels = batch()
    permuted = labels | {moved: labels[moved][torch.randperm(32, generator=generator())]}
    _, before = terms_of(made, x, labels)
    _, after = terms_of(made, x, permuted)
    terms = {name for name in before if before[name] != after[name]}
    assert terms == {f"contrastive/{changed}/{level}" for level in (1, 2)}
    one, other = gradients(made, total(made, before)), gradients(made, total(made, after))
    differing = {".".join(name.split(".")[1:3]) for name in one if not torch.equal(one[name], other[name])}
    assert differing == {f"{changed}.encoder"}


def test_published_pseudo_labels_act_nowhere():
    """What the published code computes (specification, F1): its loss is the same for all labels."""
    made = model(SMALL.published())
    x, labels = batch()
    _, before = terms_of(made, x, labels)
    _, after = terms_of(made, x, {name: label.flip(0) for name, label in labels.items()})
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_contrast_on_a_late_level_teaches_the_encoder():
    """T24."""
    made = model(replace(SMALL, lambda_con=(0.0, 0.0, 1.0), lambda_align=0.0))
    _, terms = terms_of(made, *batch())
    assert reached(made, terms["contrastive/text/2"]) == {"text.encoder"}
    assert reached(made, terms["contrastive/image/2"]) == {"image.encoder"}


def test_the_repulsion_within_prefixes_reads_the_codes_before_and_the_labels_of_the_other_modality():
    made = model(replace(SMALL, contrast="prefix"))
    x, labels = batch()
    outputs, terms = terms_of(made, x, labels)
    for name, other in (("text", "image"), ("image", "text")):
        for level in (1, 2):
            quantized = outputs[name].quantized
            expected, _ = prefix_repulsion(
                quantized.residuals[level], quantized.codes[:, :level], labels[other], SMALL.temperature
            )
            assert torch.equal(terms[f"contrastive/{name}/{level}"], expected)
    assert reached(made, terms["contrastive/text/2"]) == {"text.encoder"}


def without_gradient(config):
    return replace(config, rqvae=replace(config.rqvae, residual_grad="none"))


def test_a_contrast_on_a_late_level_teaches_nothing_in_the_published_code():
    """T24: straight-through residuals cancel it exactly."""
    made = model(without_gradient(replace(SMALL, lambda_con=(0.0, 1.0, 1.0), lambda_align=0.0)))
    _, terms = terms_of(made, *batch())
    for name in ("text", "image"):
        for level in (1, 2):
            assert not reached(made, terms[f"contrastive/{name}/{level}"])


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("weight", [1.0, 100.0])
def test_published_contrast_from_the_second_level_on_changes_no_gradient_of_the_whole_model(published, weight):
    """T4 and F2: with begin 1 or later the weight of the published contrast means nothing; of the corrected it does."""
    config = SMALL.published() if published else replace(SMALL, lambda_align=0.001)
    without, with_ = (model(replace(config, lambda_con=weights)) for weights in ((0.0,) * 3, (0.0, weight, weight)))
    x, labels = batch()
    before = gradients(without, total(without, terms_of(without, x, labels)[1]))
    after = gradients(with_, total(with_, terms_of(with_, x, labels)[1]))
    size = max(float(gradient.abs().max()) for gradient in before.values())
    difference = max(float((after[name] - before[name]).abs().max()) for name in before)
    if published:
        assert difference <= 1e-13 * size * weight
    else:
        assert difference > 0.1 * size


def test_published_contrast_on_the_first_level_does_act():
    config = SMALL.published()
    without, with_ = (model(replace(config, lambda_con=weights)) for weights in ((0.0,) * 3, (1.0, 0.0, 0.0)))
    x, labels = batch()
    one = gradients(without, total(without, terms_of(without, x, labels)[1]))
    other = gradients(with_, total(with_, terms_of(with_, x, labels)[1]))
    assert {name.split(".")[2] for name in one if not torch.allclose(one[name], other[name])} == {"encoder"}


@pytest.mark.parametrize(
    ("align_on", "parts"),
    [("encoder", {"encoder"}), ("codebook", {"quantizer"}), ("both", {"encoder", "quantizer"})],
)
def test_alignment_teaches_what_align_on_names(align_on, parts):
    """T4: by straight-through latents alone, as published, codebooks learn nothing of it."""
    made = model(replace(SMALL, align_on=align_on))
    _, terms = terms_of(made, *batch())
    assert reached(made, terms["alignment"]) == {f"{name}.{part}" for name in ("text", "image") for part in parts}


def test_where_alignment_goes_does_not_change_its_value():
    x, labels = batch()
    values = [
        terms_of(model(replace(SMALL, align_on=align_on)), x, labels)[1]["alignment"].item()
        for align_on in ("both", "encoder", "codebook")
    ]
    assert values == pytest.approx([values[0]] * 3, rel=1e-12)


def test_what_is_not_there_teaches_nothing():
    """Whatever stands in its place: no term and no gradient changes, also not as a negative of the contrast."""
    made = model(replace(SMALL, lambda_con=(0.5, 1.0, 1.0)))
    x, labels = batch()
    labels["image"][[7, 9]] = -1
    outputs, terms = terms_of(made, x, labels)
    assert len(outputs["image"].latent) == 30 and len(outputs["text"].latent) == 32
    moved = {name: rows.clone() for name, rows in x.items()}
    moved["image"][[7, 9]] = 3 * normal(2, 7, seed=50).double()
    _, after = terms_of(made, moved, labels)
    assert all(torch.equal(after[name], terms[name]) for name in terms)
    before, later = (gradients(made, total(made, found)) for found in (terms, after))
    assert all(torch.equal(before[name], later[name]) for name in before)


def test_an_item_without_the_modality_is_no_positive_in_it():
    made = model(replace(SMALL, lambda_con=(0.0, 1.0, 0.0)))
    x, _ = batch()
    labels = {name: torch.arange(32) for name in x}
    labels["text"][7] = labels["text"][3]  # the one pair that shares a label
    assert terms_of(made, x, labels)[1]["contrastive/image/1"] > 0
    labels["image"][7] = -1
    assert terms_of(made, x, labels)[1]["contrastive/image/1"] == 0


def test_a_modality_that_no_row_has_is_left_out():
    made = model()
    x, labels = batch()
    outputs, terms = terms_of(made, x, labels | {"image": torch.full((32,), -1)})
    assert set(outputs) == {"text"} and not any("image" in name for name in terms) and "alignment" not in terms
    assert terms["contrastive/text/1"] == 0


def test_outputs_and_labels_must_be_of_one_pass():
    made = model()
    x, labels = batch()
    labels["image"][7] = -1
    with pytest.raises(ValueError, match="image has 32 rows for 31 labels"):
        made.losses(made(x), labels)


def test_items_without_a_modality_in_common_give_no_cross_modal_loss_and_zero_gradients():
    made = model()
    x, labels = batch()
    labels["text"][:16], labels["image"][16:] = -1, -1
    _, terms = terms_of(made, x, labels)
    for name in ("alignment", *(f"contrastive/{modality}/{level}" for modality in x for level in (1, 2))):
        assert terms[name] == 0
        assert all((gradient == 0).all() for gradient in gradients(made, terms[name]).values())


@pytest.mark.parametrize(
    "change",
    [
        {"lambda_con": (0.0, 0.03, 0.01)},
        {"lambda_con": (0.0, 0.02, 0.02)},
        {"lambda_con": (0.02, 0.02, 0.01)},
        {"lambda_con": (0.0, 0.0, 0.01)},
        {"lambda_align": 0.04},
        {"temperature": 0.2},
        {"normalize": False},
        {"positives": "sampled"},
        {"self_in_denominator": True},
        {"contrast": "prefix"},
        {"rqvae": replace(SMALL.rqvae, commitment_weight=0.5)},
    ],
    ids=str,
)
def test_every_setting_changes_the_loss(change):
    """T20 and T24: in the published code, weights given on the command line reach nothing."""
    x, labels = batch()
    losses = [total(made, terms_of(made, x, labels)[1]).item() for made in (model(), model(replace(SMALL, **change)))]
    assert abs(losses[1] - losses[0]) > 1e-6


def test_the_ramp_scales_what_ties_the_modalities_and_nothing_else():
    made = model()
    full, half = made.weights(), made.weights(0.5)
    for term, weight in full.items():
        assert half[term] == weight * (0.5 if term.across else 1)
    x, labels = batch()
    _, terms = terms_of(made, x, labels)
    independent = model(SMALL.independent())
    expected = total(independent, terms_of(independent, x, labels)[1])
    torch.testing.assert_close(total(made, terms, cross_modal=0.0), expected)


def test_without_codebooks_there_is_only_reconstruction():
    made = model()
    x, labels = batch()
    terms = by_name(made.losses(made(x, quantize=False), labels))
    assert set(terms) == {"reconstruction/text", "reconstruction/image"}
    assert reached(made, sum(terms.values())) == {f"{name}.{part}" for name in x for part in ("encoder", "decoder")}


def test_sampled_positives_are_those_of_the_generator():
    made = model(replace(SMALL, positives="sampled"))
    x, labels = batch()
    one, same = (terms_of(made, x, labels)[1] for _ in range(2))
    other = by_name(made.losses(made(x), labels, torch.Generator().manual_seed(6)))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert one["contrastive/text/1"] != other["contrastive/text/1"]


def test_branches_start_from_different_weights():
    made = CrossModalRQVAE({"one": 6, "other": 6}, SMALL, seed=3)
    assert not torch.equal(made.branch("one").encoder[0].weight, made.branch("other").encoder[0].weight)
    assert made.modalities == ("one", "other")


@pytest.mark.parametrize(
    "wrong", [{"lambda_con": (0.1,)}, {"lambda_con": (0.0, -0.1, 0.0)}, {"lambda_align": -1.0}, {"align_on": "st"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"lambda_con needs|align_on must"):
        replace(SMALL, **wrong)


def test_a_model_needs_a_modality():
    with pytest.raises(ValueError, match="at least one modality"):
        CrossModalRQVAE({}, SMALL)


def test_the_published_form_undoes_every_option_of_the_quantizer():
    rqvae = RQVAEConfig(hidden=(8,), width=4, sizes=(4, 4), quantizer="ema:decay=0.9", residual_grad="both")
    found = CrossModalConfig(rqvae, lambda_con=(0.0, 0.5)).published().rqvae
    assert (found.quantizer, found.residual_grad) == ("ste", "none")

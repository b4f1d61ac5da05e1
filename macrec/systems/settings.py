"""What a profile sets, all of it in one table, and what the flat parameters of a notebook make of that.

`macrec profiles` prints the table. A parameter of 0 or "" leaves the choice to the profile or the size of the catalog.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, is_dataclass, replace
from typing import Any, get_args

from macrec.errors import DataError
from macrec.generation.backbones import Config, Recipe, backbone_named, backbones
from macrec.generation.causal import CausalGeneratorConfig
from macrec.generation.causal_training import CausalRecipe
from macrec.generation.decoder import DecodingOptions
from macrec.generation.training import GeneratorRecipe
from macrec.models.causal import CausalConfig
from macrec.models.t5 import T5Config
from macrec.quantization.conflict_policies import check_policy
from macrec.quantization.quantizers import check_quantizer
from macrec.quantization.sizes import MOST_LEVELS, fitting_size
from macrec.systems.generative import GeneratorSettings
from macrec.systems.sasrec_network import SASRecRecipe
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.cross_modal import Contrast, CrossModalConfig, upper_half
from macrec.tokenizers.kinds import check_tokenizer
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.training import CodebookRecipe


@dataclass(frozen=True)
class Profile:
    """Everything that one word sets: what is taken of the data, every network, how it learns, and what is compared.

    `catalog`: the size of the built-in catalog. `most_users`, `most_events`: of a larger dataset so much is taken;
    0 is all. `network`: the autoencoder of the codebooks, `codebooks`: how it learns; `t5` and `generator`: the
    same for the generators, and `causal` and `causal_recipe` where these are causal; `validate_users` and
    `measurements`: how a generator is measured meanwhile (0: after every epoch). `sasrec`: the network over item
    numbers and how it learns. `systems`: those that are compared where none are named (empty: all), as a table of every
    system takes longer than a demo may. `seeds`: random starts of a comparison, `weights`: the contrastive weights that
    notebook 03 compares beside its own, `ablation`: whether notebook 08 trains its reference without each of its
    terms.
    """

    about: str
    catalog: str
    most_users: int
    most_events: int
    network: RQVAEConfig
    codebooks: CodebookRecipe
    t5: T5Config
    generator: GeneratorRecipe
    causal: CausalGeneratorConfig
    causal_recipe: CausalRecipe
    validate_users: int
    measurements: int
    sasrec: SASRecRecipe
    systems: tuple[str, ...] = ()
    seeds: int = 1
    weights: tuple[float, ...] = ()
    ablation: bool = False

    def built_on(self, backbone: str) -> tuple[Config, Recipe]:
        """The network of the generators on this backbone, and how it learns."""
        of: dict[str, tuple[Config, Recipe]] = {
            "t5": (self.t5, self.generator),
            "causal": (self.causal, self.causal_recipe),
        }
        return of[backbone]


# With thousands of items and hundreds of steps a deep autoencoder with a narrow end is far from trained, and its codes
# tell little of the item: the small networks are shallow and wide. Generators that learn for minutes drop no units, as
# they are far from learning by heart.
WIDE = RQVAEConfig(projection=None, hidden=(512,), width=128)
SMALL = replace(T5Config.named("demo"), dropout_rate=0.0)
SHORT = GeneratorRecipe(batch=128, learning_rate=3e-3, table_factor=30.0, implicit_items=64, patience=None)

PROFILES = {
    "smoke": Profile(
        about="seconds: does everything run?",
        catalog="tiny",
        most_users=2_000,
        most_events=20_000,
        network=RQVAEConfig(projection=None, hidden=(64,), width=16),
        codebooks=CodebookRecipe(epochs=10, batch=256, learning_rate=3e-3),
        t5=T5Config.named("tiny"),
        generator=replace(SHORT, epochs=1, batch=64),
        causal=CausalGeneratorConfig(CausalConfig(width=32, feed_forward=64), head_units=32),
        causal_recipe=CausalRecipe(epochs=2, batch=64),
        validate_users=500,
        measurements=10,
        sasrec=SASRecRecipe(width=16, heads=2, epochs=3),
    ),
    "demo": Profile(
        about="minutes on a CPU",
        catalog="demo",
        most_users=5_000,
        most_events=50_000,
        network=WIDE,
        codebooks=CodebookRecipe(epochs=30, batch=256, learning_rate=3e-3),
        t5=SMALL,
        generator=replace(SHORT, epochs=3),
        causal=CausalGeneratorConfig(),
        causal_recipe=CausalRecipe(),
        validate_users=250,
        measurements=6,
        sasrec=SASRecRecipe(),
        systems=(
            *("popularity", "Markov-1", "item-kNN", "transition graph", "SASRec"),
            *("TIGER", "TIGERs fused late", "MQL4GRec", "MACRec"),
        ),
    ),
    "study": Profile(
        about="hours on a CPU: three seeds and the ablation",
        catalog="demo",
        most_users=20_000,
        most_events=200_000,
        network=WIDE,
        codebooks=CodebookRecipe(epochs=100, batch=256, learning_rate=3e-3),
        t5=SMALL,
        generator=replace(SHORT, epochs=5),
        causal=CausalGeneratorConfig(),
        causal_recipe=CausalRecipe(epochs=24),
        validate_users=500,
        measurements=10,
        sasrec=SASRecRecipe(),
        seeds=3,
        weights=(0.0, 0.0003, 0.001, 0.003, 0.01, 0.03),
        ablation=True,
    ),
    "paper": Profile(
        about="the sizes of the paper: for a GPU",
        catalog="demo",
        most_users=0,
        most_events=0,
        network=RQVAEConfig(),  # 25 million weights for two modalities
        codebooks=CodebookRecipe(epochs=1000),
        t5=T5Config(),
        generator=GeneratorRecipe(),
        causal=CausalGeneratorConfig(CausalConfig(width=128, heads=4, feed_forward=512), head_units=256),
        causal_recipe=CausalRecipe(epochs=90),
        validate_users=500,
        measurements=0,
        sasrec=SASRecRecipe(),
    ),
}


def profile_named(name: str, field: str = "profile") -> Profile:
    """The profile of this name, which a parameter called `field` gave. Raises DataError when there is none."""
    if name not in PROFILES:
        raise DataError(f'there is no {field} "{name}"', fix=f"choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


@dataclass(frozen=True)
class Parameters:
    """The flat parameters of a notebook that decide what is trained, one field each, and the settings they mean.

    `tokenizer`: see `macrec.tokenizers.kinds`; `quantizer`: of an RQ-VAE, see `macrec.quantization.quantizers`;
    `conflicts`: see `macrec.quantization.conflict_policies`; `softmax` (empty: the backbone's own) and `implicit`: see
    `GeneratorRecipe`. `lambda_con` holds on the upper half of the levels, as in the paper; `contrast` and `lambda_cf`:
    see `CrossModalConfig`. `network` and `size` take the codebooks' network (and how it learns) and the T5 of another
    profile. Raises DataError for an unknown name and for a number that cannot be used. `backbone`: see
    `macrec.generation.backbones`; a causal one reads `content` principal components of each modality beside the codes
    (0: codes alone), and with `item_vectors` a vector per item that is learned from events. `collaborative`: whether
    what people do is a further modality (`macrec.encoders.collaborative`). `decode` and `teacher`: of MSCGRec, the
    modality whose IDs it writes and where its collaborative vectors are from (`macrec.systems.collaborative_ids`).
    """

    profile: str = "demo"
    _: KW_ONLY
    collaborative: bool = False
    tokenizer: str = "cross-modal"
    quantizer: str = "ste"
    conflicts: str = "least"
    levels: int = 0
    codewords: int = 0
    lambda_con: float = 0.003
    contrast: Contrast = "labels"
    lambda_align: float = 0.001
    lambda_cf: float = 0.0
    clusters: int = 512
    codebook_epochs: int = 0
    network: str = ""
    backbone: str = "causal"
    content: int = 64
    item_vectors: bool = False
    lambda_implicit: float = 0.01
    epochs: int = 0
    size: str = ""
    softmax: str = ""
    implicit: str = "paired"
    beams: int = 20
    decode: str = "collaborative"
    teacher: str = "ppmi"
    seed: int = 0

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Parameters:
        """The parameters among `values`, such as all variables of a notebook: `Parameters.from_values(globals())`."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def __post_init__(self) -> None:
        for name in ("profile", "network", "size"):
            profile_named(getattr(self, name) or self.profile, name)
        check_tokenizer(self.tokenizer)
        check_quantizer(self.quantizer)
        check_policy(self.conflicts)
        if self.contrast not in get_args(Contrast):
            known = ", ".join(get_args(Contrast))
            raise DataError(f'there is no contrast "{self.contrast}"', field="contrast", fix=f"choose one of {known}")
        self._check_choices()
        fitting = ", or 0 for what fits the catalog"
        for name, count, least, most, otherwise in (
            ("levels", self.levels or 1, 1, MOST_LEVELS, fitting),
            ("codewords", self.codewords or 2, 2, 16_384, fitting),
            ("clusters", self.clusters, 1, 1_000_000, ""),
            ("codebook_epochs", self.codebook_epochs, 0, 1_000_000, ""),
            ("epochs", self.epochs, 0, 1_000_000, ""),
            ("beams", self.beams, 1, 1000, ""),
            ("content", self.content, 0, 4096, ", or 0 for codes alone"),
            ("seed", self.seed, 0, 2**31, ""),
        ):
            if not least <= count <= most:
                fix = f"give a number from {least} to {most:,}{otherwise}"
                raise DataError(f"{count} cannot be used", field=name, fix=fix)
        for name in ("lambda_con", "lambda_align", "lambda_cf", "lambda_implicit"):
            weight = getattr(self, name)
            if not 0 <= weight < math.inf:
                raise DataError(f"{weight} is no weight", field=name, fix="give a number of 0 or more")

    def _check_choices(self) -> None:
        """Raises DataError for a `softmax` or `implicit` that the backbone does not know, and for vectors it lacks."""
        backbone, others = backbone_named(self.backbone), backbones().values()
        if self.item_vectors and not backbone.reads_content:
            what = f"the backbone {self.backbone} has no vectors of items"
            raise DataError(what, field="item_vectors", fix='give False, or backbone="causal"')
        for name, known in backbone.choices.items():
            chosen = getattr(self, name)
            if chosen in ("", *known):
                continue
            having = [other.name for other in others if chosen in other.choices[name]]
            what = f'there is no {name} "{chosen}"' + (f" where the backbone is {self.backbone}" if having else "")
            instead = "".join(f', or backbone="{other}"' for other in having)
            raise DataError(what, field=name, fix=f"choose one of {', '.join(known)}{instead}")

    def codebooks(self, items: int = 2_000) -> CodebookSettings:
        """The codebooks of a catalog of so many items."""
        profile = PROFILES[self.network or self.profile]
        levels, codewords = fitting_size(items, self.levels, self.codewords)
        config = CrossModalConfig(
            replace(profile.network, sizes=(codewords,) * levels, quantizer=self.quantizer),
            lambda_con=upper_half(self.lambda_con, levels),
            contrast=self.contrast,
            lambda_align=self.lambda_align,
            lambda_cf=self.lambda_cf,
        )
        epochs = self.codebook_epochs or profile.codebooks.epochs
        recipe = replace(profile.codebooks, epochs=epochs, seed=self.seed)
        return CodebookSettings(config, recipe, self.clusters, self.tokenizer, self.conflicts)

    def generator(self) -> GeneratorSettings:
        """The generators, and how they decode."""
        profile, backbone = PROFILES[self.profile], backbone_named(self.backbone)
        config, _ = PROFILES[self.size or self.profile].built_on(self.backbone)
        _, own = profile.built_on(self.backbone)
        chosen = {
            "epochs": self.epochs or own.epochs,
            "lambda_implicit": self.lambda_implicit,
            "softmax": self.softmax,
            "implicit": self.implicit,
            "seed": self.seed,
        }
        known = {field.name for field in fields(own)}
        recipe = replace(own, **{name: value for name, value in chosen.items() if name in known and value != ""})
        decoding = DecodingOptions(beams=self.beams, max_history=recipe.max_history)
        content = self.content if backbone.reads_content else 0
        if isinstance(config, CausalGeneratorConfig):
            config = replace(config, item_vectors=self.item_vectors)
        return GeneratorSettings(config, recipe, decoding, profile.validate_users, profile.measurements, content)

    def sasrec(self) -> SASRecRecipe:
        """The network over item numbers."""
        return replace(PROFILES[self.profile].sasrec, seed=self.seed)

    def settings(self, items: int = 2_000) -> Settings:
        """All of these together."""
        parts = self.codebooks(items), self.generator(), self.sasrec()
        return Settings(PROFILES[self.profile], *parts, self.decode, self.teacher)


@dataclass(frozen=True)
class Settings:
    """What systems are made from: the profile, and what it and the parameters decide for each part, with one seed.

    A system with a network of its own takes what it needs from these, as its epochs from those of SASRec.
    """

    profile: Profile
    codebooks: CodebookSettings
    generator: GeneratorSettings
    sasrec: SASRecRecipe
    decode: str = "collaborative"
    teacher: str = "ppmi"

    @property
    def seed(self) -> int:
        """Where all random draws of a training begin; see `macrec.training.draws`."""
        return self.generator.recipe.seed

    def with_seed(self, seed: int) -> Settings:
        """The same from another random start."""
        return replace(
            self,
            codebooks=self.codebooks.with_seed(seed),
            generator=self.generator.with_seed(seed),
            sasrec=replace(self.sasrec, seed=seed),
        )


def profile_rows() -> dict[str, dict[str, Any]]:
    """Field → profile → its value; a dot stands between settings and theirs. Without what `Parameters` set anyway."""
    flat = {name: dict(_flat(profile)) for name, profile in PROFILES.items()}
    return {field: {name: values[field] for name, values in flat.items()} for field in flat["demo"]}


def _flat(settings: Any, before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for field in fields(settings):
        if field.name in ("sizes", "quantizer", "lambda_implicit", "softmax", "implicit", "seed"):
            continue
        value = getattr(settings, field.name)
        rows += _flat(value, f"{before}{field.name}.") if is_dataclass(value) else [(f"{before}{field.name}", value)]
    return rows


def profile_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """`profile_rows` as aligned text: first the fields in which profiles differ, then those that all share."""
    differing = {field: row for field, row in rows.items() if len({str(value) for value in row.values()}) > 1}
    table = [["", *PROFILES], *([field, *(str(value) for value in row.values())] for field, row in differing.items())]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    shared = [f"  {field}: {next(iter(row.values()))}" for field, row in rows.items() if field not in differing]
    return "\n".join([*lines, "", "the same in all profiles:", *shared])

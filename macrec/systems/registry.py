"""The registry of systems: every module of this package that holds a `SYSTEM` registers one.

Tables, ablations, notebooks, the command `macrec systems` and the tests read `entries()`. How one is added:
docs/adding_a_system.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.discovery import OWN_FILE, of_file, registered
from macrec.encoders import Embeddings
from macrec.errors import DataError, NotApplicable, say_left_out
from macrec.evaluation.system import System
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.generative import Generative
from macrec.systems.settings import Settings
from macrec.tokenizers.ids import GivenIds, Ids, JoinedIds, LearnedIds
from macrec.tokenizers.settings import CodebookSettings

FAMILIES = {
    "counting": "counts events of the training histories; not trained, without a seed",
    "sequential": "a network over item numbers, without texts or pictures",
    "generative": "writes the semantic ID of the next item",
}
"""The families of systems, in the order of the tables."""


@dataclass(frozen=True)
class Context:
    """The inputs of a system.

    `folder`: where trainings are kept. `embeddings`: modality → vectors of the items. `given`: modality → semantic IDs
    given in place of those that would be learned from embeddings; modalities without them have learned ones.
    """

    folder: Path
    data: Dataset
    split: Split
    embeddings: Mapping[str, Embeddings]
    settings: Settings
    given: Mapping[str, SemanticIds] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities with semantic IDs."""
        return tuple(dict.fromkeys((*self.given, *self.embeddings)))

    def ids(self, codebooks: CodebookSettings | None = None, modalities: tuple[str, ...] = ()) -> Ids:
        """The IDs of `modalities` (default: all): the given ones, and for others those that `codebooks` learn.

        These learn from the embeddings of all modalities without given IDs. Default: the codebooks of the settings.
        Raises DataError for a modality that there is none of.
        """
        for modality in modalities:
            if modality not in self.modalities:
                what = f'there is no modality "{modality}", only {" and ".join(self.modalities) or "none"}'
                raise DataError(what, field="modality", fix="choose one of these")
        chosen = modalities or self.modalities
        given = {name: self.given[name] for name in chosen if name in self.given}
        if given and len(given) == len(chosen):
            return GivenIds(given)
        settings = self.settings.codebooks if codebooks is None else codebooks
        vectors = {name: vectors for name, vectors in self.embeddings.items() if name not in self.given}
        own = tuple(name for name in chosen if name not in given)
        learned = LearnedIds(self.folder / "codebooks", vectors, settings, own)
        return JoinedIds((GivenIds(given), learned)) if given else learned

    def with_seed(self, seed: int) -> Context:
        """The same from another random start."""
        return replace(self, settings=self.settings.with_seed(seed))


@dataclass(frozen=True)
class Need:
    """A requirement of a system: `met` checks a dataset and its modalities, `fix` is the remedy."""

    name: str
    met: Callable[[Dataset, Collection[str]], bool]
    fix: str


A_MODALITY = Need(
    "a modality",
    lambda data, modalities: len(modalities) >= 1,
    "add texts or pictures, give semantic IDs as text_ids=FILE or image_ids=FILE, or set collaborative=True",
)
TWO_MODALITIES = Need(
    "two modalities",
    lambda data, modalities: len(modalities) >= 2,
    "add texts and pictures to the items, or give semantic IDs as text_ids=FILE and image_ids=FILE",
)


DENSE_HEAD = Need(
    "a backbone that can have a dense head",
    lambda data, modalities: False,  # the settings say so, in `Entry.unmet_in`
    'choose backbone="causal"',
)
CONTENTS = Need(
    "contents of the items",
    lambda data, modalities: False,  # the context says so, in `Entry.unmet_in`
    "choose content=64, and let semantic IDs be learned in place of those from files",
)


@dataclass(frozen=True)
class Entry:
    """The registration of a system.

    `family`: a key of `FAMILIES`. `idea`: the system in a line. `make` gives the system for a context, and without
    the terms named; several where there is one per modality, named "NAME (MODALITY)". `terms`: what can be left out,
    each with what it is; an ablation trains the system without each of them. `of_ids`: those terms that are about how
    IDs are learned, and are not there where IDs are given; `there` says of a term whether a context has it at all.
    `otherwise`: the entry that replaces this one where its needs are not met. `least`: the terms that an ablation also
    leaves out together, where these are not all. `dense`: whether its generator has a dense head, which not every
    backbone can have; `contents`: whether it needs the contents of items, which are not there where all IDs are given.
    `place` orders the entries of a family in tables; `color`: its color in figures (green, purple, orange, sky, yellow,
    grey or black; empty: one that is left).

    Raises ValueError for an unknown family.
    """

    name: str
    family: str
    idea: str
    make: Callable[[Context, tuple[str, ...]], Iterable[System]]
    paper: str = ""
    needs: tuple[Need, ...] = ()
    terms: Mapping[str, str] = field(default_factory=dict)
    of_ids: tuple[str, ...] = ()
    there: Callable[[Context, str], bool] = lambda context, term: True
    otherwise: str = ""
    least: tuple[str, ...] = ()
    dense: bool = False
    contents: bool = False
    place: int = 100
    color: str = ""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"{self.name}: there is no family {self.family!r}, only {', '.join(FAMILIES)}")

    @property
    def counts(self) -> bool:
        """Whether it only counts: not trained, without a seed."""
        return self.family == "counting"

    def unmet(self, data: Dataset, modalities: Collection[str]) -> Need | None:
        """The first need that a dataset with these modalities does not meet."""
        return next((need for need in self.needs if not need.met(data, modalities)), None)

    def unmet_in(self, context: Context) -> Need | None:
        """The first need that is not met: by the dataset and its modalities, by the settings, or by what is given."""
        generator = context.settings.generator
        if need := self.unmet(context.data, context.modalities):
            return need
        if self.dense and not generator.backbone.dense:
            return DENSE_HEAD
        return CONTENTS if self.contents and not (generator.content and context.embeddings) else None

    def systems(self, context: Context, without: tuple[str, ...] = ()) -> dict[str, System]:
        """Name → untrained system. Raises NotApplicable where a need is not met, DataError for an unknown term."""
        if need := self.unmet_in(context):
            there = f"the modalities are {', '.join(context.modalities) or 'none'}"
            raise NotApplicable(f"{self.name} needs {need.name} ({there})", file=context.data.name, fix=need.fix)
        for term in without:
            if term not in self.terms_in(context):
                known = ", ".join(self.terms_in(context)) or "nothing"
                what = f'{self.name} has no term "{term}"'
                raise DataError(what, field="without", fix=f"what can be left out here is {known}")
        return {system.name: system for system in self.make(context, without)}

    def terms_in(self, context: Context) -> tuple[str, ...]:
        """The terms that can be left out: over given IDs, not those that are about how IDs are learned."""
        here = (term for term in self.terms if self.there(context, term))
        return tuple(term for term in here if not (context.given and term in self.of_ids))

    def ablations(self, context: Context, only: Collection[str] = ()) -> dict[str, System]:
        """The system without each of its terms (default: of all), and without all of them, or `least`, where there are
        several.

        An entry of `only` may name several terms, "one+two", which are then left out together.
        """
        terms = self.terms_in(context)
        chosen = [tuple(dict.fromkeys(term.strip() for term in together.split("+"))) for together in only or terms]
        without = [*chosen, *([self.least or terms] if not only and len(terms) > 1 else [])]
        return dict(chain.from_iterable(self.systems(context, left_out).items() for left_out in without))


def named_without(name: str, without: Collection[str], terms: Collection[str]) -> str:
    """What a system is called that lacks terms.

    >>> named_without("X", ("one",), ("one", "two")), named_without("X", ("one", "two"), ("one", "two"))
    ('X w/o one', 'X w/o any term')
    >>> named_without("X", ("one", "three"), ("one", "two", "three"))
    'X w/o all but two'

    Raises ValueError for what is none of the `terms`.
    """
    if unknown := set(without) - set(terms):
        raise ValueError(f"{name} has no term {', '.join(sorted(unknown))}, only {', '.join(terms)}")
    if len(without) > 1 and set(without) == set(terms):
        return f"{name} w/o any term"
    kept = [term for term in terms if term not in without]
    if len(without) > 1 and len(kept) == 1:
        return f"{name} w/o all but {kept[0]}"
    return " ".join([name, *(f"w/o {term}" for term in without)])


def left_out(name: str, terms: Collection[str]) -> tuple[str, ...]:
    """The terms that the system of this name lacks, of those that its entry has: the inverse of `named_without`.

    >>> left_out("X w/o one", ("one", "two")), left_out("X w/o all but two", ("one", "two")), left_out("X", ("one",))
    (('one',), ('one',), ())
    """
    lacking = tuple(name.split(" w/o ")[1:])
    if lacking == ("any term",):
        return tuple(terms)
    if len(lacking) == 1 and lacking[0].startswith("all but "):
        return tuple(term for term in terms if term != lacking[0].removeprefix("all but "))
    return lacking


_own: dict[Path, Entry] = {}
"""Those of the files that were named in this process."""


def entries() -> dict[str, Entry]:
    """Every registered system by name, in the order of the tables: by family, then by place, then by name.

    Raises ValueError where two modules register one name.
    """
    known = [*_of_library(), *_own.values()]
    if twice := {entry.name for entry in known if sum(entry.name == other.name for other in known) > 1}:
        raise ValueError(f"more than one module registers {', '.join(sorted(twice))}")
    known.sort(key=lambda entry: (list(FAMILIES).index(entry.family), entry.place, entry.name))
    return {entry.name: entry for entry in known}


def _of_library() -> list[Entry]:
    from macrec import systems as package

    return registered(package.__name__, package.__path__, "SYSTEM")


def entry_of(name: str, field: str = "system") -> Entry:
    """The entry of a system: of "TIGER" and "TIGER (text)", of "MACRec" and "MACRec w/o implicit", of "FILE.py".

    The `SYSTEM` of a file of your own is registered by naming the file. Raises DataError for a name that nothing is
    registered by, and for a file that registers nothing; `field`: which parameter gave the name.
    """
    if OWN_FILE.fullmatch(name):
        file = Path(name).resolve()
        entry: Entry = of_file(file, "SYSTEM")
        others = [*_of_library(), *(other for path, other in _own.items() if path != file)]
        if entry.name in {other.name for other in others}:
            what = f'the name "{entry.name}" is that of another system'
            raise DataError(what, file=file, field="name", fix="give the system a name of its own")
        _own[file] = entry
        return entry
    known = entries()
    for start in (name, name.partition(" w/o ")[0], name.partition(" (")[0]):
        if start in known:
            return known[start]
    raise DataError(f'there is no system "{name}"', field=field, fix=f"choose one of {', '.join(known)}")


def systems(context: Context, names: str = "") -> dict[str, System]:
    """Name → system, not yet trained, in the order of the tables: those whose needs are met, or those that are named.

    `names`, between commas, are of entries ("TIGER": of every modality), of single systems ("TIGER (text)"), of systems
    without terms ("MACRec w/o implicit") or of files of your own ("FILE.py"). Raises DataError for an unknown name,
    NotApplicable for one whose needs are not met.
    """
    if not names.strip():
        met = [entry for entry in entries().values() if entry.unmet_in(context) is None]
        return dict(chain.from_iterable(entry.systems(context).items() for entry in met))
    chosen: set[str] = set()
    made: dict[str, System] = {}
    for name in (part.strip() for part in names.split(",")):
        entry = entry_of(name, "systems")
        of_entry = entry.systems(context, left_out(name, entry.terms_in(context)))
        if name not in (entry.name, *of_entry) and not OWN_FILE.fullmatch(name):
            raise DataError(f'there is no system "{name}"', field="systems", fix=f"choose one of {', '.join(of_entry)}")
        chosen |= {name} if name in of_entry else of_entry.keys()
        made |= of_entry
    order, place = list(entries()), list(made)
    return {
        name: made[name]
        for name in sorted(chosen, key=lambda name: (order.index(entry_of(name).name), place.index(name)))
    }


def fitting_entry(name: str, context: Context) -> Entry:
    """The entry of `name`, or its replacement where its needs are not met, which is printed.

    Raises DataError for an unknown name, NotApplicable where nothing fits.
    """
    entry = entry_of(name)
    while need := entry.unmet_in(context):
        if not entry.otherwise:
            raise NotApplicable(f"{entry.name} needs {need.name}", file=context.data.name, fix=need.fix)
        say_left_out(entry.name, f"it needs {need.name}; {entry.otherwise} replaces it")
        entry = entry_of(entry.otherwise)
    return entry


def open_generator(context: Context, name: str) -> Generative:
    """The generator of this name, or its replacement where its needs are not met, which is printed.

    Raises DataError for a system that is no generator, or for a name of several; NotApplicable where nothing fits.
    """
    entry = fitting_entry(name, context)
    made = entry.systems(context, left_out(name, entry.terms_in(context)))
    if entry is entry_of(name) and name not in (entry.name, *made) and not OWN_FILE.fullmatch(name):
        raise DataError(f'there is no system "{name}"', field="system", fix=f"choose one of {', '.join(made)}")
    made = {name: made[name]} if name in made else made
    if len(made) > 1:
        raise DataError(f"{name} names {len(made)} systems", field="system", fix=f"choose {' or '.join(made)}")
    (system,) = made.values()
    if not isinstance(system, Generative):
        generators = [other for other, every in systems(context).items() if isinstance(every, Generative)]
        fix = f"choose one of {', '.join(generators)}"
        raise DataError(f"{name} is not a generator over semantic IDs", field="system", fix=fix)
    return system

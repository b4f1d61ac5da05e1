"""What a generator reads and writes: every task has a row, and its boxes are the codes of real items."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.split import leave_one_out
from macrec.generation.backbones import causal as of_causal
from macrec.generation.backbones import t5 as of_t5
from macrec.generation.batches import CodeTables
from macrec.generation.causal import CausalGeneratorConfig
from macrec.generation.causal_training import CausalRecipe
from macrec.generation.tasks import code_tasks
from macrec.generation.training import GeneratorRecipe
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import level_names
from macrec.viz.views.task_examples import task_examples


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def tables(data):
    """IDs of unequal depth, the second with a level that counts."""
    rng = np.random.default_rng(0)
    text = SemanticIds.from_codes(rng.integers(0, 9, (data.num_items, 3)), ("text_a", "text_b", "text_c"), (9, 9, 9))
    codes = rng.integers(0, 9, (data.num_items, 2))
    image = SemanticIds.from_codes(codes, ("image_a", "image_count"), (9, 9))
    return {"text": text, "image": image}


@pytest.fixture(scope="module")
def training(data, tables):
    of = CodeTables(tables, code_tasks(("text", "image")))
    return of_t5.training(of, leave_one_out(data.histories).train, T5Config.named("tiny"), GeneratorRecipe(), {})


def spellings(table) -> set[str]:
    """The codes of every item as the boxes show them."""
    return {
        "".join(f"{level}{code}" for level, code in zip(level_names(table), codes, strict=True))
        for codes in table.codes.tolist()
    }


def test_every_task_shows_its_prompt_whole_ids_and_an_end(training, data):
    tables = training.tables
    rows = ElementTree.fromstring(task_examples(training, data)).findall("tr")[1:]
    assert [row.find("th").text for row in rows] == [task.name for task in tables.tasks]
    for row, task in zip(rows, tables.tasks, strict=True):
        reads, writes = (["".join(box.itertext()) for box in cell] for cell in row.findall("td"))
        assert reads[: task.prompt] == [f"p{at}" for at in range(task.prompt)] and reads[-1] == "end"
        assert len(writes) == 1
        for ids, modality in ((reads[task.prompt : -1], task.source), (writes, task.target)):
            assert ids and set(ids) <= spellings(tables.ids[modality])
        assert len(reads) - task.prompt - 1 == 1 or task.kind == "sequence"


def test_a_generator_with_a_place_per_item_shows_at_each_what_is_read_and_the_next_id(data, tables):
    tasks = code_tasks(("text", "image"), prompt=0, joint=True, dense=True)
    train, config = leave_one_out(data.histories).train, CausalGeneratorConfig(dense=True)
    training = of_causal.training(CodeTables(tables, tasks), train, config, CausalRecipe(), {})
    rows = ElementTree.fromstring(task_examples(training, data)).findall("tr")[1:]
    assert [row.find("th").text for row in rows] == [task.name for task in tasks]
    for row, task in zip(rows, tasks, strict=True):
        places = row.findall("td/div")
        assert len(places) == 1 if task.kind == "item" else len(places) > 1
        ids = [[["".join(each.itertext()) for each in line.findall("span")] for line in place] for place in places]
        for (reads, arrow, writes), following in zip(ids, [*ids[1:], None], strict=True):
            assert len(reads) == len(task.sources) and not arrow and len(writes) == 1
            assert all(code in spellings(tables[name]) for code, name in zip(reads, task.sources, strict=True))
            assert writes[0] in spellings(training.tables.table(task.target))
            if following and task.target in task.sources:
                assert writes[0] == following[0][task.sources.index(task.target)]
        assert "end" not in "".join(row.itertext())


def test_another_seed_shows_other_samples_and_every_id_tells_its_item(training, data):
    first, same, other = (task_examples(training, data, seed=seed) for seed in (0, 0, 1))
    assert first == same != other
    titles = set(re.findall(r'title="(?:text|image) ID of ([^"]+)"', first))
    assert titles and titles <= {title.replace("&", "&amp;") for title in data.items["title"].to_list()}

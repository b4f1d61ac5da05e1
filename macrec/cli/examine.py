"""Commands for data, IDs and what is installed, from `datasets` to `doctor`."""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer

from macrec.cli.app import AsJson, app


@app.command()
def datasets(
    path: Annotated[
        str, typer.Argument(help="A folder or file, or curio[:SIZE[:SEED]][(SETTING=VALUE, …)].")
    ] = "curio",
    layout: Annotated[
        str | None, typer.Option(help="The layout of the files, where it is not recognized: recbole, s3rec, …")
    ] = None,
    as_json: AsJson = False,
    decode: Annotated[int, typer.Option(help="Decode at most so many pictures to see that they are whole.")] = 20_000,
) -> None:
    """Print the card of a dataset: the built-in catalog, or what lies in a folder."""
    from macrec.data.card import dataset_card
    from macrec.data.load import load_dataset
    from macrec.evaluation.ceiling import ceiling

    dataset = load_dataset(path, layout)
    card = dataset_card(dataset, decode_images=decode)
    reachable = ceiling(dataset)
    if as_json:
        typer.echo(json.dumps(card.to_json() | {"ceiling": reachable}, indent=2, ensure_ascii=False))
        return
    typer.echo(str(card))
    for name, metrics in reachable.items():
        typer.echo(f"{name:10}  " + "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))


@app.command()
def diagnose(
    path: Annotated[
        str, typer.Argument(help="A folder or file, or curio[:SIZE[:SEED]][(SETTING=VALUE, …)].")
    ] = "curio",
    layout: Annotated[str | None, typer.Option(help="The layout of the files, where it is not recognized.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the scores of simple baselines on a dataset, which a learned model should exceed."""
    from macrec.data.load import load_dataset
    from macrec.experiments.diagnose import diagnose as measure

    diagnosis = measure(load_dataset(path, layout))
    typer.echo(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False) if as_json else str(diagnosis))


@app.command()
def sids(
    file: Annotated[Path, typer.Argument(help="Semantic IDs as .parquet, .json, .jsonl, .csv, .tsv or .npy.")],
    as_json: AsJson = False,
    size: Annotated[int | None, typer.Option(help="Codewords per level, where the file does not say.")] = None,
) -> None:
    """Print statistics of a file of semantic IDs: conflicts, utilization, perplexity, prefixes.

    Without the sizes of the codebooks in the file or --size, the
    largest code of each determines its size, and the output says so.
    """
    from macrec.quantization.health import codebook_health
    from macrec.quantization.id_files import check_numbering
    from macrec.quantization.semantic_ids import load_semantic_ids

    ids = load_semantic_ids(file, size)
    check_numbering(ids.item_ids, file)
    health = codebook_health(ids)
    typer.echo(json.dumps(health.to_json(), indent=2) if as_json else str(health))


@app.command()
def explore(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Semantic IDs as .parquet, .json, .jsonl, .csv, .tsv or .npy."),
    ],
    items: Annotated[
        str | None,
        typer.Option(help="Their items: a dataset, or a table (.parquet, .csv, .json, .jsonl) of ids and titles."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("explore.html"),
    size: Annotated[int | None, typer.Option(help="Codewords per level, where the files do not say.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write a page that shows files of semantic IDs: tree, usage, conflicts, agreement, and what a code means.

    IDs belong to items by item id; or, where the keys are exactly 0 to N-1 and
    the items are called otherwise, by row. The output says which it was.
    """
    from macrec.workbench.explore import explore as write_page

    start = time.perf_counter()
    matched: list[str] = []
    write_page(files, items, out, size, matched.append)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
    for sentence in matched:
        typer.echo(sentence)
    if show:
        typer.launch(str(out.resolve()))


@app.command()
def encoders(as_json: AsJson = False) -> None:
    """List the encoders: how each is named, what it encodes, what it costs, and whether it can be used here."""
    from macrec.encoders import available

    listed = available()
    if as_json:
        typer.echo(json.dumps([entry._asdict() for entry in listed], indent=2))
        return
    for entry in listed:
        typer.echo(f"{entry.spec:26} {entry.modality:6} {'needs ' + entry.missing if entry.missing else 'ready'}")
        typer.echo(textwrap.fill(entry.remark, 100, initial_indent="    ", subsequent_indent="    "))
    typer.echo("\nA file of your own that holds an ENCODER: FILE.py or FILE.py:REST (see macrec/encoders/kind.py).")


@app.command()
def tokenizers(as_json: AsJson = False) -> None:
    """List the tokenizers, and the quantizers that an RQ-VAE may have."""
    from macrec.quantization.quantizers import quantizers
    from macrec.tokenizers import tokenizers as known

    listed = {"tokenizer": {kind.name: kind.about for kind in known().values()}, "quantizer": quantizers()}
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    for parameter, entries in listed.items():
        for name, about in entries.items():
            typer.echo(f"{f'{parameter}={name}':24} {about}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Print what is installed, what is missing and what would be used."""
    from macrec.workbench.doctor import examine, sentences

    report = examine()
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(sentences(report)))

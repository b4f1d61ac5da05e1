"""MACRec with a dense head: the items themselves are ranked beside their IDs."""

from __future__ import annotations

from dataclasses import replace

from macrec.systems.macrec import MACRec
from macrec.systems.registry import TWO_MODALITIES, Context, Entry


def macrec_dense(context: Context) -> MACRec:
    """MACRec whose states also give the logit of every item, as one more path that is fused with those of the IDs.

    The dense head is after LIGER's (arXiv 2411.18814): a product of the state with a table that adds the item's
    codewords, its contents and a bias (`macrec.models.dense_head`). It was not published with MACRec: it measures
    what codes lose. How much each path counts is chosen on validation users.
    """
    settings = replace(context.settings, generator=context.settings.generator.with_dense_head())
    return MACRec(replace(context, settings=settings), name=SYSTEM.name)


SYSTEM = Entry(
    name="MACRec with dense head",
    family="generative",
    paper="arXiv 2511.15122 and 2411.18814",
    idea="MACRec that also ranks the items themselves, by their codes and contents",
    make=lambda context, without: [macrec_dense(context)],
    needs=(TWO_MODALITIES,),
    otherwise="MACRec",
    dense=True,
    place=5,
)

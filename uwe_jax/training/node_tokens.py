"""Token tables of the nodes of a training, and the builder of its batches."""

from __future__ import annotations

import logging

import jax

from uwe_jax.config import Config, LengthSettings
from uwe_jax.data.batches import BatchBuilder, fitted_lengths
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.guide import Guide
from uwe_jax.data.node_names import NameDraw
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.teacher import Teacher
from uwe_jax.data.tokens import Tokeniser, TokenTable
from uwe_jax.data.truncation import Truncation
from uwe_jax.distributed import parallel
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.kinds import NODE_KINDS, SKILL
from uwe_jax.runtime.progress import counted

LOG = logging.getLogger(__name__)


def tokenise_nodes(
    graphs: GraphSet, tokeniser: Tokeniser, lengths: LengthSettings
) -> tuple[dict[str, TokenTable], dict[str, TokenTable]]:
    """Tokenises all node kinds, and reports how many texts are truncated to the configured lengths, or
    have unknown tokens.

    Returns:
      By kind the labels, which are ranked, and the labels followed by the further names, which batches are drawn from.
    """
    texts = graphs.texts
    labels = {kind: tokeniser.table(texts[kind], label=f"{kind} nodes") for kind in NODE_KINDS if kind in texts}
    tables = labels | {
        kind: labels[kind].followed_by(tokeniser.table(names.texts, label=f"names of {kind} nodes"))
        for kind, names in graphs.names.items()
    }
    whole = {kind: [*texts[kind], *(graphs.names[kind].texts if kind in graphs.names else ())] for kind in tables}
    found = {
        kind: tokeniser.truncation_of(table, whole[kind], getattr(lengths, kind)) for kind, table in tables.items()
    }
    counts = ", ".join(
        f"{each.truncated:,} of {counted(each.texts, kind)} {'is' if each.truncated == 1 else 'are'} longer than "
        f"{each.limit} tokens (longest: {each.longest})"
        for kind, each in found.items()
    )
    level = logging.INFO if any(each.truncated for each in found.values()) else logging.DEBUG
    LOG.log(level, f"Texts are truncated to the configured lengths: {counts}")
    for note in sum(found.values(), Truncation(0)).unknown_notes("graph text"):
        LOG.warning(note)
    return labels, tables


def batch_builder(
    config: Config,
    graphs: GraphSet,
    tables: dict[str, TokenTable],
    sampler: BatchSampler,
    guide: Guide | None = None,
    teacher: Teacher | None = None,
) -> BatchBuilder:
    """Makes the builder of this process's part of every batch of training graphs, from their nodes' tokens."""
    lengths = fitted_lengths(tables, config.lengths, distractors=config.batch.distractor_probability > 0)
    sampler.guide = guide
    if guide and config.batch.field_share:
        _group(sampler, guide)
    LOG.debug("Most tokens of a text: " + ", ".join(f"{getattr(lengths, kind)} {kind}" for kind in tables))
    return BatchBuilder(
        graphs,
        tables,
        lengths,
        sampler,
        (jax.process_index(), jax.process_count()),
        config.batch.positives,
        NameDraw(graphs.texts, graphs.names, config.seed) if graphs.names else None,
        devices=jax.device_count(),
        # To mine takes longer than to draw.
        counted=min(config.steps, 100 if config.batch.mined_negatives else BatchBuilder.counted),
        guide=guide if config.guide.mask != "none" else None,
        teacher=teacher,
    )


def _group(sampler: BatchSampler, guide: Guide) -> None:
    """Groups the skills into fields of work; UserError if the processes of the training find different ones."""
    sizes = sampler.group(guide.vectors[SKILL])
    if len(set(parallel.of_all_processes(sampler.fields_checksum))) > 1:
        raise UserError(
            f"The {jax.process_count()} processes group the skills into different fields of work, since their "
            "processors round differently: batches would not fit together. Run them on machines of one kind, or set "
            "--config.batch.field_share=0."
        )
    each = "; ".join(f"{counted(len(own), 'field')} of {min(own):,} to {max(own):,} skills" for own in sizes)
    LOG.info(f"Fields of work that batches draw {sampler.settings.of_one_field} skills from: {each}.")

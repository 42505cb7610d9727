"""Answers queries as they come, from one or several indexes."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from uwe_jax.data.markup import has_markup, markup_note
from uwe_jax.data.truncation import Truncation
from uwe_jax.models.loading import DEFAULT_MODEL
from uwe_jax.retrieval.answers import Answer, answer_file, json_line, readable
from uwe_jax.retrieval.calibration import note_calibration
from uwe_jax.retrieval.hits import Hits
from uwe_jax.retrieval.indexing import cached_index
from uwe_jax.retrieval.limits import Accepted, judge, note_scorer
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.location import open_index, recorded_model
from uwe_jax.retrieval.options import RankOptions
from uwe_jax.retrieval.queries_in import batches, file_queries, line_queries
from uwe_jax.retrieval.ranker import Ranker
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.skill_filter import chosen_filter, filter_in
from uwe_jax.retrieval.store.columns import FilterError, check_column
from uwe_jax.retrieval.store.searchable import Searchable
from uwe_jax.retrieval.table_targets import Flags
from uwe_jax.retrieval.texts_in import read_targets
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.progress import counted, report

LOG = logging.getLogger(__name__)


def rank(options: RankOptions) -> None:
    """Writes an answer for every query, in their order: to a file, or to standard output while input is awaited.

    Raises:
      UserError: for anything that the user can fix. Queries that cannot be answered are reported in their place, and
        counted at the end.
    """
    queries = _queries(options)
    given = filter_in(options.skill_filter)
    spaces: dict[str, Searchable] = {name: open_index(place) for name, place in options.indexes}
    places = [place for _, place in options.indexes]
    model = options.model or (recorded_model(places) if places else DEFAULT_MODEL)
    most = options.max_tokens or max((space.origin.max_tokens for space in spaces.values()), default=None)
    if options.targets:  # read before anything is loaded
        targets = read_targets(
            options.targets,
            kind=options.kind,
            column=options.target_column,
            id_column=options.id_column,
            language=options.language,
            keep=options.keep,
            names=options.names,
            descriptions=options.descriptions,
            target_names=options.target_names,
            flags=Flags(column="--target-column"),
        )
    typed = not (options.queries or options.queries_file) and sys.stdin.isatty()
    LOG.log(logging.INFO if typed else logging.DEBUG, "Loading %s. Then type one query per line; Ctrl-D ends.", model)
    ranker = load(model, cache_dir=options.cache_dir, max_tokens=most, **asdict(RankSettings.of(options)))
    if options.targets:
        spaces[options.targets.stem] = cached_index(ranker, model, targets, options.cache_dir)
    for name, place in options.indexes:
        ranker.check(spaces[name], options.top_k, place, options.min_probability)  # before queries come
        if not options.model:
            note_scorer(ranker.origin, spaces[name].origin, place)
    if options.targets:
        ranker.check(spaces[options.targets.stem], options.top_k, str(options.targets), options.min_probability)
    for name, space in spaces.items():
        note_calibration(space, ranker.origin, ranker.how, name, raw=not options.json)  # which says it in each answer
    columns = _checked_columns(spaces, options)
    skill_filter = chosen_filter(given, options.skill_filter, ranker)
    count, refused, first, truncation = 0, 0, "", Truncation(ranker.loaded.max_tokens)
    least, reached, dropped, none = (options.min_score, options.min_probability), 0, 0, ""
    marked, example = 0, ""
    # The error of a single query, raised below, is all that a person is to see; a program reads its answer.
    alone = len(options.queries) == 1 and not options.json and not options.out
    with _writer(options, columns) as write:
        for batch in batches(queries):
            texts = [query for query in batch if isinstance(query, str)]
            truncation += ranker.truncation(texts)
            html = [query for query in texts if has_markup(query)]
            marked, example = marked + len(html), example or next(iter(html), "")
            found = ranker.search(batch, list(spaces.values()), options.top_k, options.filter, count + 1)
            asked = [query for query, hits in zip(batch, found, strict=True) if isinstance(hits, list)]
            no_skill = skill_filter.refused(ranker, list(map(str, asked))) if skill_filter else {}
            for query, hits in zip(batch, found, strict=True):
                count += 1
                if isinstance(hits, UserError):
                    refused, first = refused + 1, first or str(hits)
                    if not alone:
                        write(Answer(count, error=str(hits)))
                else:
                    why = no_skill.get(str(query), "")
                    of_spaces = zip(spaces, hits, strict=True)
                    kept = {name: each.without(why) if why else each.reaching(*least) for name, each in of_spaces}
                    dropped += bool(why)
                    reached += any(kept.values())
                    if not why:
                        none = none or next((each.none for each in kept.values() if each.none), "")
                    write(_answer(ranker, count, str(query), spaces, kept, options))
            sys.stdout.flush()
    if options.out:
        without = count - reached - refused
        told = f" ({without:,} without a hit)" if without else ""
        LOG.info(f"Wrote the answers to {counted(count, 'query')}{told} to {options.out}.")
    if options.picture and not (reached or refused):
        LOG.warning(f"There is no hit to explain, so {options.picture} was not written.")
    if dropped:
        LOG.info(
            f"{dropped:,} of {counted(count, 'query')} are taken for no requirement; --skill-filter none ranks all."
        )
    if none and not reached:
        LOG.warning(f"No hit of {counted(count, 'query')} reaches the threshold. The first: {none}")
    for note in truncation.notes("query"):
        LOG.warning(f"{note}. --max-tokens sets another limit.")
    for note in truncation.unknown_notes("query"):
        LOG.warning(note)
    if marked:
        LOG.warning(f"{markup_note(marked, 'query', example)}.")
    if refused and count == 1:
        raise UserError(first)
    if refused:
        which = f"{'was' if refused == 1 else 'were'} not answered{'; all others were' if refused < count else ''}"
        raise UserError(f"{refused:,} of {count:,} queries {which}. The first: {first}")


@contextmanager
def _writer(options: RankOptions, columns: list[str]) -> Iterator[Callable[[Answer], None]]:
    if options.out:
        with answer_file(options.out, columns) as write:
            yield write
    else:
        form = json_line if options.json else functools.partial(readable, show=options.show)
        yield lambda answer: report(form(answer), flush=False)


def _checked_columns(spaces: Mapping[str, Searchable], options: RankOptions) -> list[str]:
    """Returns the columns of all indexes; refuses unknown ones, and reports an index without matching targets."""
    columns = list(dict.fromkeys(each for space in spaces.values() for each in space.columns))
    for column in options.show:
        check_column(column, columns)
    for name, space in spaces.items():
        try:
            left = space.count(options.filter)
        except FilterError as error:
            raise UserError(f"{name}: {error}") from error
        if options.where and not left:
            LOG.info(f"{name}: each value of --where occurs, but no target matches all of them, so nothing is ranked.")
    return columns


def _queries(options: RankOptions) -> Iterator[Accepted | None]:
    if options.queries:
        return (judge(text, "Query", number) for number, text in enumerate(options.queries, 1))
    if options.queries_file:
        return file_queries(options.queries_file, options.column)
    if sys.stdin is None:
        raise UserError("There is no query: none on the command line, no --queries, and standard input is closed.")
    return line_queries(sys.stdin.fileno())


def _answer(
    ranker: Ranker,
    number: int,
    query: str,
    spaces: Mapping[str, Searchable],
    hits: Mapping[str, Hits],
    options: RankOptions,
) -> Answer:
    best = {name: each[0] for name, each in hits.items() if each and (options.explain or options.picture)}
    explanations = {name: ranker.explain(query, hit, space=spaces[name]) for name, hit in best.items()}
    if options.picture:
        for explanation in explanations.values():
            explanation.save_picture(options.picture)
            LOG.info(f"Wrote {options.picture}.")
    return Answer(number, query, hits, explanations)

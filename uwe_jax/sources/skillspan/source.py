"""SkillSpan as a source: its sentences for training, with the taxonomy skills named in them or with their spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from uwe_jax.data.graph import Edge
from uwe_jax.data.text import normalise
from uwe_jax.runtime.errors import UserError
from uwe_jax.sources.esco.release import flags_of
from uwe_jax.sources.folders import DEPTH, check_folder, files_in, only_copy, stated_split
from uwe_jax.sources.matching import EXACT, VERSION, SkillMatcher
from uwe_jax.sources.notes import noted
from uwe_jax.sources.source import Source, SourceEdges, SourceRequest
from uwe_jax.sources.tables.problems import Problems
from uwe_jax.sources.tables.reading import has_columns, read_rows
from uwe_jax.sources.taxonomy import EXPECTED, Taxonomy, find_taxonomy, taxonomy_instead
from uwe_jax.sources.vacancies.sentences import MAX_CHARACTERS, MIN_WORDS, length_problem

TAGGED, SPANS = "skill_vacancy", "span_vacancy"  # the graphs
DOWNLOAD = (
    "Download train.json from https://huggingface.co/datasets/jjzha/skillspan and keep its name; the other splits are "
    "for evaluation and are not read."
)
_TOKENS = {"tokens": "texts"}
_TAGS = {"tags_skill": "skill", "tags_knowledge": "knowledge"}  # relation of the edges per column of tags
_LENGTHS = f"less than {MIN_WORDS} words or more than {MAX_CHARACTERS} characters"
_MIN_SPAN = 3  # characters of a span; shorter ones are letters such as R and C
_MASK = "<"  # opens the publisher's replacement of a name, as in <ORGANIZATION>


def find_train(folder: Path) -> Path:
    """Finds the file of the sentences for training, by its columns and the split that its name states.

    Raises:
      UserError: there is none, or there are two that differ.
    """
    check_folder(folder, f"Expected the folder of SkillSpan's train.json. {DOWNLOAD}")
    columns = ("tokens", "tags_skill")  # the second one tells SkillSpan from other tokenised text
    found = [
        path
        for path in files_in(folder, DEPTH)
        if path.suffix.lower() in (".json", ".jsonl")
        and stated_split([path.stem]) == "train"
        and has_columns(path, dict.fromkeys(columns, "texts"))
    ]
    path = only_copy(found, folder, "the train split of SkillSpan")
    if path is None:
        raise UserError(
            f"{folder} holds no JSON lines with {' and '.join(columns)} whose name states train. {DOWNLOAD}"
        )
    return path


def read_tagged_edges(path: Path, taxonomy: Taxonomy) -> tuple[list[Edge], list[str]]:
    """Reads an edge per sentence and skill named in it, and phrases on the sentences that were left out.

    Tokens are joined by single spaces, as in the sentences of WorkBench's extraction sets, the other splits.

    Raises:
      UserError: broken rows.
    """
    problems = Problems(str(path))
    texts = [normalise(" ".join(row["tokens"])) for _, row in read_rows(path, path.name, _TOKENS, problems)]
    problems.check()
    matcher = SkillMatcher(taxonomy)
    edges, left_out, untagged = [], 0, 0
    distinct = dict.fromkeys(texts)
    for text in distinct:
        if length_problem(text):
            left_out += 1
            continue
        named: dict[int, str] = {}
        for match in matcher.find(text):
            if named.get(match.skill) != EXACT:
                named[match.skill] = match.how
        untagged += not named
        for number, how in named.items():
            skill = taxonomy.skills[number]
            edges.append(Edge(skill.id, skill.label, "", text, how))
    return edges, [
        *noted(len(texts) - len(distinct), "repeated sentence", "left out"),
        *noted(left_out, "sentence", f"of {_LENGTHS} left out"),
        *noted(untagged, "sentence", "without a named skill left out"),
    ]


def read_span_edges(path: Path) -> tuple[list[Edge], list[str]]:
    """Reads an edge per sentence and annotated span, whose text is the skill, and phrases on what was left out.

    Raises:
      UserError: broken rows, such as tags of another number than tokens.
    """
    problems = Problems(str(path))
    edges: dict[Edge, None] = {}
    left_out = short = 0
    for place, row in read_rows(path, path.name, {**_TOKENS, **dict.fromkeys(_TAGS, "texts")}, problems):
        tokens = row["tokens"]
        uneven = {column: len(row[column]) for column in _TAGS if len(row[column]) != len(tokens)}
        if uneven:
            problems.add(place, f"{len(tokens)} tokens and {uneven}", "one tag per token")
            continue
        sentence = normalise(" ".join(tokens))
        found = [
            Edge("", span, "", sentence, kind) for column, kind in _TAGS.items() for span in _spans(tokens, row[column])
        ]
        if found and length_problem(sentence):
            left_out += 1
            continue
        kept = [edge for edge in found if len(edge.left_text) >= _MIN_SPAN and _MASK not in edge.left_text]
        short += len(found) - len(kept)
        edges.update(dict.fromkeys(kept))
    problems.check()
    return list(edges), [
        *noted(left_out, "sentence", f"with spans of {_LENGTHS} left out"),
        *noted(short, "span", f"of less than {_MIN_SPAN} characters or with masked names left out"),
    ]


def _spans(tokens: Sequence[str], tags: Sequence[str]) -> Iterator[str]:
    """Yields the texts of the spans of B, I and O tags. An I without a B before it opens a span as well.

    >>> list(_spans(["You", "plan", "shifts", "weld"], ["O", "B", "I", "B"]))
    ['plan shifts', 'weld']
    """
    span: list[str] = []
    for token, tag in zip((*tokens, ""), (*tags, "O"), strict=True):
        if span and not tag.startswith("I"):
            yield normalise(" ".join(span))
            span = []
        if not tag.startswith("O"):
            span.append(token)


def _read(request: SourceRequest) -> SourceEdges:
    # imported lazily: TFDS takes a second, and other sources do not need it
    from uwe_jax.sources.tfds_edges import load_file_edges

    folder = request.folder("the folder of SkillSpan's train.json")
    path = find_train(folder)
    origin = f"SkillSpan {path.name} in {path.parent}"
    edges: dict[str, list[Edge]] = {}
    notes: tuple[str, ...] = ()
    for graph in request.graphs:
        read, taxonomy = read_span_edges, None
        if graph == TAGGED:
            taxonomy = find_taxonomy(folder, language=request.language, version=request.version)
            if taxonomy is None:
                flags = flags_of(request.setting)
                raise UserError(
                    f"{folder} holds SkillSpan's {path.name} but no taxonomy to tag its sentences with."
                    f"{taxonomy_instead(folder, request.language, request.version, flags)} {EXPECTED} "
                    f"The graph {SPANS} needs none."
                )
            origin += f", tagged with {taxonomy.origin}"
            read = partial(read_tagged_edges, taxonomy=taxonomy)
        further = f"{taxonomy.digest} {VERSION}" if taxonomy else ""
        edges[graph], found = load_file_edges("skillspan", graph, path, read, request.cache_dir, further=further)
        notes += found
    return SourceEdges(origin, edges, notes)


SOURCE = Source(
    {TAGGED: "vacancy", SPANS: "vacancy"},
    _read,
    default=(TAGGED,),
    reads=dict.fromkeys(("language", "version"), (TAGGED,)),
)

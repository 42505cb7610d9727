"""Matching of skills in texts."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwe_jax.sources.matching import COMMON_ALIAS, COMMON_LABEL, SkillMatcher, whole_words
from uwe_jax.sources.taxonomy import Skill, Taxonomy


def matcher(*skills: tuple[str, ...]) -> SkillMatcher:
    """Of skills given as a label and aliases."""
    return SkillMatcher(Taxonomy("", tuple(Skill("", label, tuple(aliases)) for label, *aliases in skills)))


def named(found: SkillMatcher, text: str) -> list[tuple[int, str, str]]:
    return [(match.skill, text[match.start : match.stop], match.how) for match in found.find(text)]


def test_labels_and_aliases_without_regard_to_case_and_the_longest_first():
    found = matcher(("data analysis", "analyse data"), ("data analysis tools",), ("weld metal", "metal joining"))
    assert named(found, "Data Analysis, METAL JOINING and data analysis tools") == [
        (0, "Data Analysis", "exact"),
        (2, "METAL JOINING", "alias"),
        (1, "data analysis tools", "exact"),
    ]
    # What only begins like the longer name still holds the shorter one.
    assert named(found, "data analysis toolsmith") == [(0, "data analysis", "exact")]
    assert SkillMatcher(Taxonomy("", ())).find("anything") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Java developer", ["Java"]),
        ("JavaScript and Javanese", []),
        ("(java),", ["java"]),
        ("C#/C++ in .NET and ASP.NET", ["C#", "C++", ".NET", ".NET"]),
        ("C and C sharp", []),
        ("long-term, term_x", []),
        ("the term-sheet", ["term"]),
        ("I code in java++", []),
        ("İstanbul weld metal", ["weld metal"]),
    ],
)
def test_whole_words(text, expected):
    found = matcher(("Java (computer programming)",), ("C",), ("C#",), ("C++",), (".NET",), ("term",), ("weld metal",))
    assert [span for _, span, _ in named(found, text)] == expected


def test_names_that_several_skills_carry_are_left_out_unless_they_are_a_label():
    found = matcher(("repair pumps", "mend pumps", "nursing"), ("mend pumps by hand", "mend pumps"), ("nursing",))
    assert named(found, "mend pumps, nursing, repair pumps") == [(2, "nursing", "exact"), (0, "repair pumps", "exact")]
    assert found.left_out == {"carried by several skills": 1}


def test_short_names_and_capitals():
    found = matcher(
        ("R",), ("computer technology", "IT"), ("Git",), ("wear a suit", "tie"), ("LESS",), ("waste less paper",)
    )
    assert [span for _, span, _ in named(found, "IT is it; Git is git; R, tie, less LESS")] == ["IT", "Git", "LESS"]
    assert named(found, "IT IS LESS") == []  # where all is in capitals they say nothing
    assert found.left_out["too short"] == 2


def test_words_of_many_labels_are_too_common_on_their_own():
    labels = [(f"draw {thing}",) for thing in "abcdefghijklmnopqrstuvwxyzäöüß"]
    assert len(labels) == COMMON_LABEL
    few = matcher(*labels[: COMMON_ALIAS - 1], ("make sketches", "draw"))
    assert [span for _, span, _ in named(few, "you draw and draw a")] == ["draw", "draw a"]
    many = matcher(*labels[:COMMON_ALIAS], ("make sketches", "draw"))
    assert [span for _, span, _ in named(many, "you draw and draw a")] == ["draw a"]
    assert many.left_out == {"too common": 1}
    assert named(matcher(*labels[:-1], ("draw",)), "you draw")
    assert not named(matcher(*labels, ("draw",)), "you draw")


@settings(max_examples=60)
@given(
    st.lists(st.text("ab ", min_size=2, max_size=5).map(str.strip).filter(lambda text: len(text) > 3), max_size=6),
    st.text("ab -", max_size=30),
)
def test_matching_equals_a_naive_search(labels, text):
    skills = list(dict.fromkeys(" ".join(label.split()) for label in labels))
    words = [set(re.findall(r"\w+", label)) for label in skills]
    spans = []
    for number, label in enumerate(skills):
        single = len(words[number]) == 1 and " " not in label
        pattern = rf"(?<!\w){'(?<!a-)(?<!b-)' if single else ''}(?={re.escape(label)}(?!\w))"
        spans += [(-len(label), at.start(), number) for at in re.finditer(pattern, text)]
    taken: list[tuple[int, int, int]] = []
    for length, start, number in sorted(spans):
        if all(start - length <= other or start >= end for other, end, _ in taken):
            taken.append((start, start - length, number))
    found = matcher(*((label,) for label in skills)).find(text)
    assert [(match.start, match.stop, match.skill) for match in found] == sorted(taken)


def test_whole_words_of_a_few_names():
    find = whole_words(["C#", "Plan shifts", "plan"])
    assert find("plan shifts in c# or plan b") == [("plan shifts", 0, 11), ("c#", 15, 17), ("plan", 21, 25)]
    assert whole_words([])("anything") == []

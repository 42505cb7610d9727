"""Matching of skills in texts."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracing import events

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
        ("C and C sharp", ["C"]),
        ("long-term, term_x", []),
        ("the term-sheet", ["term"]),
        ("I code in java++", []),
        ("İstanbul weld metal", ["weld metal"]),
    ],
)
def test_whole_words(text, expected):
    found = matcher(("Java (computer programming)",), ("C",), ("C#",), ("C++",), (".NET",), ("term",), ("weld metal",))
    assert [span for _, span, _ in named(found, text)] == expected


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (
            ["\u4f1a\u8a08"],
            "\u5f53\u793e\u3067\u306f\u4f1a\u8a08\u3068\u7a0e\u52d9",
            ["\u4f1a\u8a08"],
        ),  # Japanese: accounting
        (
            ["\u4f1a\u8a08", "\u4f1a\u8a08\u76e3\u67fb"],
            "\u4f1a\u8a08\u76e3\u67fb\u3092",
            ["\u4f1a\u8a08\u76e3\u67fb"],
        ),  # the longest
        (["Java"], "\u7cbe\u901aJava\u8bed\u8a00, Javas", ["Java"]),  # Chinese around Latin letters
        (
            ["\u30c7\u30fc\u30bf"],
            "\u30c7\u30fc\u30bf\u3092 \u30c7\u30fc\u30bf\u30d9\u30fc\u30b9",
            ["\u30c7\u30fc\u30bf"],
        ),  # data, not database
        (
            ["\u0e1a\u0e31\u0e0d\u0e0a\u0e35"],
            "\u0e07\u0e32\u0e19\u0e1a\u0e31\u0e0d\u0e0a\u0e35\u0e41\u0e25\u0e30",
            ["\u0e1a\u0e31\u0e0d\u0e0a\u0e35"],
        ),  # Thai
        (
            ["\u0e01\u0e32\u0e23\u0e1a"],
            "\u0e01\u0e32\u0e23\u0e1a\u0e31\u0e0d\u0e0a\u0e35",
            [],
        ),  # not within a letter and its vowel
        (["\ud68c\uacc4"], "\ud68c\uacc4\ub97c \uad00\ub9ac\ud68c\uacc4", ["\ud68c\uacc4"]),  # Korean, with a particle
        (
            ["\u0939\u093f\u0928\u094d\u0926\u0940"],
            "\u0939\u093f\u0928\u094d\u0926\u0940\u0935\u093e\u0926",
            [],
        ),  # Hindi has spaces
        (["d'analyse"], "l\u2019outil d\u2019analyse", ["d\u2019analyse"]),
        (["outil d\u2019analyse"], "l'outil d'analyse", ["outil d'analyse"]),
        (["Schwei\u00dftechnik"], "die Schwei\u00df\u00adtech\u00adnik!", ["Schwei\u00df\u00adtech\u00adnik"]),
        (["end-to-end tests"], "end\u2011to\u2011end\u00a0tests", ["end\u2011to\u2011end\u00a0tests"]),
        (["office work", "C++"], "o\ufb03ce work in \uff23\uff0b\uff0b", ["o\ufb03ce work", "\uff23\uff0b\uff0b"]),
        (["\u30ac\u30b9"], "\uff76\uff9e\uff7d", ["\uff76\uff9e\uff7d"]),  # half-width katakana
        (["Java"], "Java\u2122", ["Java"]),
    ],
)
def test_names_in_every_script_and_typography(names, text, expected):
    found = matcher(*((name,) for name in names))
    assert [span for _, span, _ in named(found, text)] == expected
    assert [text[start:stop] for _, start, stop in whole_words(names)(text)] == expected


def test_short_aliases_of_dense_scripts_are_searched():
    found = matcher(("\u4f1a\u8a08\u696d\u52d9", "\u7d4c\u7406"), ("accounting", "tax"))
    assert named(found, "\u7d4c\u7406\u3068 tax") == [(0, "\u7d4c\u7406", "alias")]


def test_names_that_several_skills_carry_are_left_out_unless_they_are_a_label():
    found = matcher(("repair pumps", "mend pumps", "nursing"), ("mend pumps by hand", "mend pumps"), ("nursing",))
    assert named(found, "mend pumps, nursing, repair pumps") == [(2, "nursing", "exact"), (0, "repair pumps", "exact")]
    assert found.left_out == {"carried by several skills": 1}


def test_short_names_and_capitals():
    found = matcher(
        ("R",), ("computer technology", "IT"), ("Git",), ("wear a suit", "tie"), ("LESS",), ("waste less paper",)
    )
    assert [span for _, span, _ in named(found, "IT is it; Git is git; R, tie, less LESS")] == [
        "IT",
        "Git",
        "R",
        "LESS",
    ]
    assert named(found, "IT IS LESS") == []  # where all is in capitals they say nothing
    assert found.left_out["too short"] == 1


TOOLS = ("Go", "R", "IT", "Excel", "Word", "C", "SAP", "Access", "Outlook", "Rust", "Swift")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You go to market, in other words you excel in sales.", []),
        ("Go to market with swift access to a positive outlook.", []),
        ("It is what it is, and rust never sleeps.", []),
        ("Excel in a fast team. ", []),
        ("Access to the gym; a word of thanks; go on, it pays.", []),
        ("WE GO FAR, EXCEL IN ALL, and IT IS fun", []),
        ("R&D, R & D, C-level, B.Sc, (M/R/D), a class C licence and vitamin C", []),
        ("APPLY WITHIN R DAYS", []),
        ("MORE SAP AND IT", []),
        ("Know Excel, Word and Access; write Go, Rust or Swift.", ["Excel", "Word", "Access", "Go", "Rust", "Swift"]),
        ("SAP HANA, IT and C/C++ or R.", ["SAP", "IT", "C", "R"]),
        ("Excel", ["Excel"]),
        ("Outlook, Word", ["Outlook", "Word"]),
        ("SAP", ["SAP"]),
    ],
)
def test_short_and_ordinary_words_count_in_their_own_spelling_alone(text, expected):
    found = matcher(*((tool,) for tool in TOOLS))
    assert [span for _, span, _ in named(found, text)] == expected
    assert [text[start:stop] for _, start, stop in whole_words(TOOLS)(text)] == expected


def test_names_of_rows_link_in_their_own_spelling_where_they_are_ordinary_words():
    found = matcher(*((tool,) for tool in TOOLS), ("computer technology", "PHP"), ("CSS",), ("plan shifts", "rota"))
    linked = {text: found.named(text) for text in (*TOOLS, "css", "php", "Plan Shifts", "ROTA")}
    assert linked == {**{tool: k for k, tool in enumerate(TOOLS)}, "css": 12, "php": 11, "Plan Shifts": 13, "ROTA": 13}
    for text in ("go", "r", "it", "excel", "EXCEL", "word", "c", "sap", "access", "outlook", "rust", "swift", "shifts"):
        assert found.named(text) is None
    assert not matcher(("go",), ("lead others", "lead")).find("You go and lead.")  # in lower case they are anything
    assert matcher(("go",)).named("go") == 0


def test_the_work_is_linear_in_the_names_of_a_text():
    found, own = matcher(("weld metal", "metal joining"), ("IT",)), whole_words(["weld metal", "IT"])
    for find in (found.find, own):
        few, many = (events(lambda k=k, find=find: find("weld metal, IT jobs; " * k)) for k in (100, 400))
        assert few > 200
        assert many < 4.1 * few


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

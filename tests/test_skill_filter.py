"""The filter of sentences without a skill."""

import itertools
import json

import numpy as np
import pytest
from tiny_encoder import WORDS, write_tiny_encoder
from vacancy_files import TAXONOMY, write_rows, write_taxonomy

from uwe_jax.commands import calibrate
from uwe_jax.commands.rank import main as rank
from uwe_jax.commands.tag import main as tag
from uwe_jax.curation.tag.by_model import tag_by_model
from uwe_jax.retrieval.loading import load
from uwe_jax.retrieval.skill_filter import SHIPPED, SkillFilter, _shipped, fit_filter, read_filter
from uwe_jax.runtime.errors import UserError
from uwe_jax.scoring.calibration import separation
from uwe_jax.sources.vacancies.files import find_vacancy_files
from uwe_jax.sources.vacancies.job import open_job
from uwe_jax.sources.vacancies.lines import read_lines
from uwe_jax.sources.vacancies.pool import run_job
from uwe_jax.sources.vacancies.tagger import TagSettings

NAMES = {"model": "m", "fingerprints": ["f"], "origin": "made"}


class Pay:
    """Ranks every skill alike; the embedding of a sentence is whether it speaks of pay."""

    name = "pay"

    def encode(self, texts):
        return np.array([[-1.0 if "pay" in text else 1.0] for text in texts], np.float32)

    def index(self, targets):
        return lambda queries: np.ones((len(queries), len(targets)), np.float32)


def noisy(n: int = 400):
    generator = np.random.default_rng(1)
    has_skill = generator.random(n) < 0.8
    means = generator.normal(size=(n, 3)) + np.outer(np.where(has_skill, 1.5, -1.5), [1, 0, 0])
    return means, has_skill


def test_a_filter_is_measured_on_sentences_not_fitted_on():
    means, has_skill = noisy()
    n = len(means)
    fitted = fit_filter(means, has_skill, np.zeros(n, int), np.arange(n), keep=0.9, **NAMES)
    assert 0.9 < fitted.area < 1
    assert fitted.kept == pytest.approx(0.9, abs=0.01)
    p = fitted.probabilities(noisy(401)[0])
    assert separation(p, noisy(401)[1]) > 0.95
    shuffled = np.random.default_rng(2).permutation(has_skill)
    assert fit_filter(means, shuffled, np.zeros(n, int), np.arange(n), keep=0.9, **NAMES).area < 0.6
    # Sentences of one document are in one fold: copies of a sentence do not predict each other.
    copies, labels = np.repeat(np.random.default_rng(3).normal(size=(40, 30)), 4, axis=0), np.repeat([0, 1] * 20, 4) > 0
    together = fit_filter(copies, labels, np.zeros(160, int), np.repeat(np.arange(40), 4), keep=0.9, **NAMES)
    apart = fit_filter(copies, labels, np.zeros(160, int), np.arange(160), keep=0.9, **NAMES)
    assert together.area < 0.75 < apart.area


def test_sentences_without_a_skill_get_none_by_a_model(tmp_path):
    pay = SkillFilter("pay", ("f",), "made", 2, 1, 1.0, 1.0, 1.0, 0.5, 0.0, (1.0,))
    rows = [{"title": "Cook", "description": "We pay very well.\nYou bake the bread."}]
    found = find_vacancy_files(write_rows(tmp_path / "v.jsonl", rows))
    texts = {}
    for name, chosen in (("on", pay), ("off", None)):
        job = open_job(tmp_path / name, found, TAXONOMY, TagSettings(keep_sentences="untagged"))
        run_job(job, 1)
        done = tag_by_model(job, TAXONOMY, Pay(), threshold=0.5, top_k=9, skill_filter=chosen)
        assert done.counts["sentences without a skill, by the filter"] == (chosen is not None)
        assert done.counts["sentences read by the model"] == 2 - (chosen is not None)
        (line,) = read_lines(job.folder / "vacancies" / "00000-model.jsonl")
        texts[name] = {skill["sentence"] for skill in line["skills"]}
        assert len(line["skills"]) == 4
    assert texts["on"] == {"You bake the bread."}


def test_shipped_filters_are_of_the_encoder_s_width():
    assert {each.model for each in _shipped()} == {"all-MiniLM-L6-v2", "uwe-minilm", "uwe-minilm-esco"}
    for each in _shipped():
        assert len(each.weights) == 384
        assert each.area >= 0.85
        assert "MIT" in each.origin


@pytest.mark.thorough
def test_a_filter_is_fitted_by_the_command_and_refused_for_another_model(tmp_path, capsys):
    one, other = (str(write_tiny_encoder(tmp_path / name, layers=k)) for k, name in ((1, "one"), (2, "other")))
    rows = [
        {"sentence": " ".join(words), "label": label}
        for label, known in ((1, WORDS[:4]), (0, WORDS[4:]))
        for words in itertools.product(known, repeat=3)
    ]
    sentences, out = write_rows(tmp_path / "s.csv", rows), tmp_path / "filter.json"
    fit = ["--sentences", str(sentences), "--model", one, "--out", str(out), "--keep", "0.5"]
    calibrate.main(fit)
    assert "128 sentences, 64 with a skill" in capsys.readouterr().out
    assert read_filter(out).area > 0.85
    vacancies = write_rows(tmp_path / "v.jsonl", [{"title": "x", "description": "software engineer code"}])
    flags = ["--vacancies", str(vacancies), "--taxonomy", str(write_taxonomy(tmp_path / "skills.csv"))]
    flags += ["--threshold", "-1", "--skill-filter", str(out)]
    tag([*flags, "--model", one, "--out", str(tmp_path / "tagged")])
    assert json.loads((tmp_path / "tagged" / "tagging.json").read_text())["edges"] == {}
    with pytest.raises(UserError, match=r"filter is of .*not of .*its fingerprint is"):
        tag([*flags, "--model", other, "--out", str(tmp_path / "refused")])
    with pytest.raises(UserError, match="not of bm25: it has no embeddings"):
        tag([*flags, "--model", "bm25", "--out", str(tmp_path / "refused")])

    targets = tmp_path / "skills.txt"
    targets.write_text("\n".join(WORDS))
    ranking = [f"--targets={targets}", f"--cache-dir={tmp_path / 'cache'}", f"--model={one}:soft"]
    texts = [row["sentence"] for row in rows]
    order = np.argsort(read_filter(out).probabilities(load(one).encode(texts)))
    known, unknown = texts[order[-1]], texts[order[0]]
    capsys.readouterr()
    for flag, filtered in ((f"--skill-filter={out}", True), ("--skill-filter=none", False)):
        rank([*ranking, known, unknown, known, flag, "--json"])
        said, logged = capsys.readouterr()
        answers = [json.loads(line) for line in said.splitlines()]
        assert [bool(answer["hits"]["skills"]) for answer in answers] == [True, not filtered, True]
        assert ("1 of 3 queries are taken for no requirement" in logged) == filtered
        reason = answers[1].get("none", {}).get("skills", "")
        assert reason.startswith("The query is taken for no requirement: its probability of having a") == filtered
        assert "No hit of" not in logged
    rank([*ranking, f"--skill-filter={out}", unknown])
    assert f"{unknown}: none of these in skills. The query is taken for no requirement" in capsys.readouterr().out
    for flag, problem in ((str(out), "not of .*its fingerprint is"), ("shipped", "no filter comes with uwe_jax")):
        with pytest.raises(UserError, match=problem):
            rank([*ranking, f"--model={other}:soft", f"--skill-filter={flag}", known])

    for content, expected in (({"label": 2}, "label '2'.*0 or 1"), ({"sentence": ""}, "an empty sentence")):
        write_rows(sentences, [rows[0] | content, *rows[1:]])
        with pytest.raises(UserError, match=expected):
            calibrate.main(fit)
    write_rows(sentences, rows[:74])
    with pytest.raises(UserError, match=r"74 sentences are judged, 64 with a skill and 10 w.*least 50 of each"):
        calibrate.main(fit)
    with pytest.raises(UserError, match="Give both, and no --index"):
        calibrate.main(fit[:2])
    with pytest.raises(UserError, match="is not a file"):
        calibrate.main(["--sentences", str(tmp_path / "none.csv"), *fit[2:]])


def test_a_damaged_filter_is_refused(tmp_path):
    content = json.loads(next(SHIPPED.glob("*.json")).read_text())
    for change, expected in (
        ({"weights": []}, "0 weights"),
        ({"threshold": 2}, "threshold"),
        ({"version": 9}, "format and version"),
        ({"bias": "x"}, "damaged"),
    ):
        (tmp_path / "f.json").write_text(json.dumps(content | change))
        with pytest.raises(UserError, match=expected):
            read_filter(tmp_path / "f.json")

"""A space in Qdrant finds what the space itself finds; uploads are resumable and whole or not there at all."""

import dataclasses
import os
import socket
import sys
import uuid

import numpy as np
import pytest

pytest.importorskip("qdrant_client", reason="needs the extra qdrant")

from qdrant_client import QdrantClient, models
from qdrant_over_http import qdrant_server

from uwe_jax.config import ScorerSettings
from uwe_jax.ranking.ragged import RaggedTokens
from uwe_jax.retrieval.location import in_qdrant, open_index
from uwe_jax.retrieval.qdrant import connection, stored, upload
from uwe_jax.retrieval.qdrant.qdrant_space import QdrantIndex
from uwe_jax.retrieval.settings import RankSettings
from uwe_jax.retrieval.store.columns import FilterError
from uwe_jax.retrieval.store.names import Name
from uwe_jax.retrieval.store.searchable import Origin
from uwe_jax.retrieval.store.stored_targets import Index
from uwe_jax.runtime.errors import UserError

WIDTH, N = 8, 40
K = 5  # one number of hits, so that few programs are compiled
SERVER = "UWE_JAX_QDRANT_URL"  # of a server that the tests may write to
SCORERS = {
    "soft": ScorerSettings(tau_a=0.3),
    "soft dot": ScorerSettings(logits="dot", tau_a=2.0, side="query"),
    "max_sim": ScorerSettings(kind="max_sim", reduce="sum"),
    "soft_pooled": ScorerSettings(kind="soft_pooled", logits="dot", tau_a=2.0),
    "mean_pool": ScorerSettings(kind="mean_pool"),
}


def ragged(rng: np.random.Generator, texts: int, least: int = 1) -> RaggedTokens:
    """Tokens around a few directions, of norms about those of MiniLM."""
    offsets = np.concatenate([[0], np.cumsum(rng.integers(least, 9, texts))])
    centres = rng.standard_normal((6, WIDTH))
    flat = centres[rng.integers(0, 6, offsets[-1])] + 0.5 * rng.standard_normal((offsets[-1], WIDTH))
    return RaggedTokens((3.0 * flat).astype(np.float32), offsets)


def make_space(seed: int = 0, texts: int = N, kind: str = "soft", model: str = "model") -> Index:
    tokens = ragged(np.random.default_rng(seed), texts)
    origin = Origin(model, f"fingerprint of {model}", 64, ScorerSettings(kind=kind))
    return Index.from_tokens(
        tokens, [f"text {k}" for k in range(texts)], [f"id:{k}" for k in range(texts)], origin, "float32"
    )


def assert_same(found, expected):
    assert [[hit.id for hit in row] for row in found] == [[hit.id for hit in row] for row in expected]
    assert [[hit.text for hit in row] for row in found] == [[hit.text for hit in row] for row in expected]
    for row, right in zip(found, expected, strict=True):
        np.testing.assert_allclose([h.score for h in row], [h.score for h in right], atol=1e-4)


@pytest.fixture
def queries() -> RaggedTokens:
    return ragged(np.random.default_rng(9), 5)


@pytest.fixture(params=["folder", "http", "server"])
def location(request, tmp_path):
    """Location of a store: a folder, the REST interface of a store in memory, and a server where one is named."""
    if request.param == "folder":
        yield str(tmp_path / "store")
    elif request.param == "http":
        with qdrant_server() as server:
            yield server.url
    else:
        url = os.environ.get(SERVER)
        if not url:
            pytest.skip(f"${SERVER} names no server")
        yield url


@pytest.fixture
def name(location):
    """The name of an index, unique on a shared server."""
    chosen = f"test-{uuid.uuid4().hex}"
    yield chosen
    if "://" in location:
        QdrantIndex.delete(location, chosen)


@pytest.fixture
def small_batches(monkeypatch):
    """Uploads a few targets per request."""
    monkeypatch.setattr(upload, "_BATCH_NUMBERS", 40 * WIDTH)


class Stopped(Exception):
    """Stands for a kill."""


@pytest.fixture
def stop_after(monkeypatch):
    """Stops an upload after a number of batches; returns the batches' sizes."""
    sent = []
    upsert = QdrantClient.upsert

    def stop(batches: int) -> list[int]:
        sent.clear()

        def counted(client, collection, points, **kwargs):
            if len(sent) == batches:
                raise Stopped
            sent.append(len(points))
            return upsert(client, collection, points, **kwargs)

        monkeypatch.setattr(QdrantClient, "upsert", counted)
        return sent

    return stop


@pytest.mark.thorough_after(2)
@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_finds_and_scores_as_the_space(scorer, queries):
    space = make_space()
    with QdrantIndex.create(":memory:", "skills", space) as held:
        held.candidates = len(space)
        assert_same(held.search(queries, K, scorer), space.search(queries, K, scorer))
        assert held.recall(queries, K, space, scorer=scorer) == 1


@pytest.mark.parametrize("kind", ["mean_pool", "soft_pooled"])
def test_pooled_targets_are_single_vectors(kind, queries):
    space = make_space(kind=kind)
    scorer = ScorerSettings(kind=kind, logits="dot", tau_a=2.0)
    client = QdrantClient(":memory:")
    with QdrantIndex.create(client, "skills", space) as held:
        held.candidates = len(space)
        assert_same(held.search(queries, K, scorer), space.search(queries, K, scorer))
        collection = client.get_aliases().aliases[0].collection_name
        assert client.get_collection(collection).config.params.vectors.multivector_config is None
        assert np.shape(client.retrieve(collection, [3], with_vectors=True)[0].vector) == (WIDTH,)
    client.close()


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("kind", ["soft", "soft_pooled", "mean_pool"])
def test_targets_with_several_names_rank_as_in_the_space(kind, queries):
    further = [[Name(f"name {k} {j}") for j in range(k % 4)] for k in range(N)]
    tokens = ragged(np.random.default_rng(3), N + sum(map(len, further)))
    origin = Origin("model", "fingerprint", 64, ScorerSettings(kind=kind))
    texts = [f"text {k}" for k in range(N)]
    space = Index.from_tokens(tokens, texts, texts, origin, "float32", names=further)
    with QdrantIndex.create(":memory:", "skills", space) as held:
        for top_k in (K, N):
            how = RankSettings(label_weight=0.4)
            found, expected = (each.search(queries, top_k, origin.scorer, how=how) for each in (held, space))
            assert_same(found, expected)
            assert [[hit.name for hit in row] for row in found] == [[hit.name for hit in row] for row in expected]
        few = QdrantIndex(held._store, held._collection, held._stored, candidates=K)
        assert all(len({hit.id for hit in row}) == K for row in few.search(queries, K, origin.scorer))


def test_a_target_with_more_names_than_a_server_takes_is_refused(rng, monkeypatch):
    tokens = RaggedTokens(rng.standard_normal((9, WIDTH)).astype(np.float32), np.array([0, 2, 5, 9]))
    names = [[], [Name("c")]]
    space = Index.from_tokens(tokens, ["a", "b"], ["1", "2"], make_space().origin, "float32", names=names)
    most = 7 * WIDTH
    monkeypatch.setattr(upload, "MOST_NUMBERS", most - 1)
    with QdrantIndex.create(":memory:", "skills", space) as held:
        assert len(held) == 2
    with qdrant_server() as server:
        with pytest.raises(UserError, match=f"The names of '2' have {most} numbers, .* at most {most - 1} per target"):
            QdrantIndex.create(server.url, "skills", space)
        monkeypatch.setattr(upload, "MOST_NUMBERS", most)
        with QdrantIndex.create(server.url, "skills", space) as held:
            assert held.names_of("2") == [("b", ""), ("c", "alternative")]


def test_one_by_one_equals_all_at_once_and_mean_pooling_needs_no_more_candidates_than_hits(queries):
    space = make_space(kind="mean_pool")
    with QdrantIndex.create(":memory:", "skills", space) as held:
        held.candidates = 1
        found = held.search(queries, K, space.origin.scorer)
        assert_same(found, space.search(queries, K, space.origin.scorer))
        assert found == [held.search(queries.part(k, k + 1), K, space.origin.scorer)[0] for k in range(len(queries))]
        assert held.search(queries.part(0, 0), 3, space.origin.scorer) == []


def test_a_store_is_reopened(location, name, queries):
    space = make_space()
    QdrantIndex.create(location, name, space).close()
    with QdrantIndex.open(location, name, candidates=N) as held:
        assert held.origin == space.origin
        assert len(held) == len(space)
        assert_same(held.search(queries, 100, space.origin.scorer), space.search(queries, 100, space.origin.scorer))
    assert QdrantIndex.delete(location, name) == 1
    with pytest.raises(UserError, match=f"There is no index {name}"):
        QdrantIndex.open(location, name)


COLUMNS = {"family.a": [("food", "care", "")[k % 3] for k in range(N)], "level": [str(k % 2) for k in range(N)]}


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("kind", ["soft", "mean_pool"])
def test_a_filter_ranks_what_the_space_ranks(location, name, kind, rng):
    tokens, scorer = ragged(rng, N), ScorerSettings(kind=kind, tau_a=0.3)
    texts, origin = [f"text {k}" for k in range(N)], Origin("model", "f", 64, scorer)
    space = Index.from_tokens(tokens, texts, None, origin, "float32", columns=COLUMNS)
    queries = ragged(rng, 3, least=0)
    queries = RaggedTokens(queries.flat, np.append(queries.offsets, len(queries.flat)))  # the last has no tokens
    with QdrantIndex.create(location, name, space) as held:
        assert (held.columns, held.count()) == (("family.a", "level"), N)
        for where in ({"family.a": "food"}, {"family.a": ["care", ""], "level": "1"}, {"level": ["0", "1"]}):
            found = held.search(queries, K, scorer, where)
            assert held.count(where) == space.count(where)
            assert_same(found, space.search(queries, K, scorer, where))
            assert [[hit.columns for hit in row] for row in found] == [
                [hit.columns for hit in row] for row in space.search(queries, K, scorer, where)
            ]
        assert_same(held.search(queries, N, scorer, {"level": "1"}), space.search(queries, N, scorer, {"level": "1"}))
        for where, message in (
            ({"family": "food"}, r"no column 'family'\. Did you mean 'family\.a'"),
            ({"family.a": "fod"}, r"No target has 'fod' as its family\.a\. Did you mean 'food'.*'food' \(14\)"),
        ):
            with pytest.raises(FilterError, match=message):
                held.search(queries, K, scorer, where)


def test_columns_are_indexed_by_a_server_and_part_of_the_content():
    space = make_space()
    columns = Index.from_tokens(space.tokens, space.texts, space.ids, space.origin, "float32", columns=COLUMNS)
    other = Index.from_tokens(
        space.tokens, space.texts, space.ids, space.origin, "float32", columns={**COLUMNS, "level": ["2"] * N}
    )
    with qdrant_server() as server:
        for uploaded in (space, columns, other):
            with QdrantIndex.create(server.url, "skills", uploaded) as held:
                level = held.search(uploaded.tokens.part(0, 1), 1, space.origin.scorer)[0][0].columns.get("level")
                assert level == (uploaded.columns["level"][0] if uploaded.columns else None)
        assert server.indexed == ["column_0", "column_1"] * 2
        with QdrantIndex.open(server.url, "skills") as held, pytest.raises(FilterError, match="no column 'x'"):
            held.count({"x": "y"})


def test_columns_that_no_target_fits_together_leave_nothing(queries):
    columns = {"a": [str(k) for k in range(N)], "b": [str(k % 2) for k in range(N)]}
    space = make_space()
    space = Index.from_tokens(space.tokens, space.texts, space.ids, space.origin, "float32", columns=columns)
    with QdrantIndex.create(":memory:", "skills", space) as held:
        assert held.search(queries, K, space.origin.scorer, {"a": "0", "b": "1"}) == [[] for _ in range(len(queries))]


def test_equal_scores_stand_in_the_order_of_the_targets(rng):
    one = ragged(rng, 1, least=3).flat
    tokens = RaggedTokens(np.tile(one, (9, 1)), np.arange(10) * len(one))
    space = Index.from_tokens(tokens, list("ihgfedcba"), None, Origin("m", "f", 64, ScorerSettings()), "float32")
    with QdrantIndex.create(":memory:", "skills", space) as held:
        assert [hit.id for hit in held.search(ragged(rng, 1), 9, ScorerSettings())[0]] == list("ihgfedcba")


@pytest.mark.parametrize("kind", ["soft", "mean_pool"])
def test_texts_without_tokens(rng, kind):
    token, offsets = ragged(rng, 1).flat[:1], np.array([0, 0, 1])
    scorer = ScorerSettings(kind=kind)
    space = Index.from_tokens(
        RaggedTokens(token, offsets), ["", "a"], ["x", "y"], Origin("m", "f", 64, scorer), "float32"
    )
    queries = RaggedTokens(-token, offsets)
    with QdrantIndex.create(":memory:", "skills", space) as held:
        assert_same(held.search(queries, 2, scorer), space.search(queries, 2, scorer))


def test_an_index_may_find_fewer(queries):
    space = make_space()
    with QdrantIndex.create(":memory:", "skills", space) as held:
        whole = held.search(queries, K, space.origin.scorer)
        found = held._candidates(queries, N, space.origin.scorer)
        at = [np.array([int(hit.id[3:]) for hit in row[:3]]) for row in whole]
        assert all(set(few) <= set(all_of) for few, all_of in zip(at, found, strict=True))
        held._candidates = lambda *_: at
        assert_same(held.search(queries, K, space.origin.scorer), [row[:3] for row in whole])


def test_recall_is_the_share_of_the_exact_answer(queries):
    space = make_space()
    scorer = ScorerSettings(logits="dot", tau_a=50.0, side="query")  # far from MaxSim
    with QdrantIndex.create(":memory:", "skills", space) as held:
        shares = []
        for held.candidates in (K, 3 * K, N):
            shares.append(held.recall(queries, K, space, scorer))
        assert 0 < shares[0] < 1
        assert shares == sorted(shares)
        assert shares[2] == 1
        held.candidates = 5
        exact = [{hit.id for hit in row} for row in space.search(queries, K, scorer)]
        found = [{hit.id for hit in row} for row in held.search(queries, K, scorer)]
        assert shares[0] == np.mean([len(a & b) / K for a, b in zip(exact, found, strict=True)])


@pytest.mark.usefixtures("small_batches")
def test_an_interrupted_upload_is_resumed(location, name, queries, stop_after):
    space = make_space()
    sent = stop_after(2)
    with pytest.raises(Stopped):
        QdrantIndex.create(location, name, space)
    with pytest.raises(UserError, match=f"The upload of the index {name} to Qdrant at .* is incomplete"):
        QdrantIndex.open(location, name)
    before = sum(sent)
    assert 0 < before < len(space)
    sent = stop_after(1000)
    with QdrantIndex.create(location, name, space) as held:
        assert sum(sent) == len(space) - before
        held.candidates = len(space)
        assert_same(held.search(queries, K, space.origin.scorer), space.search(queries, K, space.origin.scorer))
    sent = stop_after(0)
    QdrantIndex.create(location, name, space).close()
    assert sent == []


@pytest.mark.thorough_after(1)
@pytest.mark.usefixtures("small_batches")
def test_a_new_version_replaces_the_old_one_when_complete(location, name, queries, stop_after):
    old, new = make_space(0), make_space(1)
    QdrantIndex.create(location, name, old).close()
    stop_after(1)
    with pytest.raises(Stopped):
        QdrantIndex.create(location, name, new)
    with QdrantIndex.open(location, name, candidates=N) as held:
        assert_same(held.search(queries, K, old.origin.scorer), old.search(queries, K, old.origin.scorer))
    stop_after(1000)
    with QdrantIndex.create(location, name, new) as held:
        held.candidates = N
        assert_same(held.search(queries, K, new.origin.scorer), new.search(queries, K, new.origin.scorer))
    stop_after(1)
    with pytest.raises(Stopped):
        QdrantIndex.create(location, name, old)
    assert QdrantIndex.delete(location, name) == 2  # with the incomplete upload


def test_a_search_of_a_replaced_index_is_refused(queries):
    with qdrant_server() as server:
        space = make_space(0)
        with QdrantIndex.create(server.url, "skills", space) as held:
            QdrantIndex.create(server.url, "skills", make_space(1)).close()
            with pytest.raises(UserError, match="the index was replaced or deleted since it was opened"):
                held.search(queries, 3, space.origin.scorer)


def test_another_models_space_is_replaced(location, name):
    QdrantIndex.create(location, name, make_space()).close()
    other = make_space(model="other")
    QdrantIndex.create(location, name, other).close()
    with QdrantIndex.open(location, name) as held:
        assert held.origin == other.origin


def test_an_unknown_index_is_reported_with_known_ones(location, name):
    QdrantIndex.create(location, name, make_space()).close()
    with pytest.raises(UserError, match=f"There is no index jobs in Qdrant at .* There are: .*{name}"):
        QdrantIndex.open(location, "jobs")


def test_other_collections_are_left_alone():
    client = QdrantClient(":memory:")
    client.create_collection("theirs", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    with pytest.raises(UserError, match="has a collection theirs of another program"):
        QdrantIndex.create(client, "theirs", make_space())
    with pytest.raises(UserError, match=r"theirs .* is not an index of this program\. There are no indexes yet"):
        QdrantIndex.open(client, "theirs")
    client.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, "has format 4; this version of uwe_jax reads up to 3"),
        ({"size": "many"}, "is damaged .*size is 'many'"),
    ],
)
def test_a_newer_or_damaged_space_is_refused(monkeypatch, change, message):
    client = QdrantClient(":memory:")
    metadata = stored.Stored.metadata
    monkeypatch.setattr(stored.Stored, "metadata", lambda self: {"uwe_jax": metadata(self)["uwe_jax"] | change})
    QdrantIndex.create(client, "skills", make_space())
    with pytest.raises(UserError, match=message):
        QdrantIndex.open(client, "skills")
    client.close()


def test_an_index_uploaded_before_there_were_sides_has_the_querys_scorer(monkeypatch):
    metadata = stored.Stored.metadata

    def older(self):
        found = metadata(self)
        for name in ("side", "target_tau_a", "target_weight"):
            del found["uwe_jax"]["origin"]["scorer"][name]
        return found

    monkeypatch.setattr(stored.Stored, "metadata", older)
    client = QdrantClient(":memory:")
    QdrantIndex.create(client, "skills", make_space())
    with QdrantIndex.open(client, "skills") as held:
        assert held.origin.scorer == ScorerSettings(side="query")
    client.close()


def test_the_search_width_of_a_server(queries):
    with qdrant_server() as server, QdrantIndex.create(server.url, "skills", make_space()) as held:
        held.search(queries.part(0, 1), K, held.origin.scorer)
        assert [each.hnsw_ef for each in server.params] == [256]


def test_targets_that_went_missing_are_counted(queries):
    client = QdrantClient(":memory:")
    space = make_space(texts=5)
    held = QdrantIndex.create(client, "skills", space)
    collection = client.get_aliases().aliases[0].collection_name
    found = held._candidates(queries, K, space.origin.scorer)
    client.delete(collection, [2])
    held._candidates = lambda *_: found
    with pytest.raises(UserError, match="1 of 5 targets are missing from the collection"):
        held.search(queries, 3, space.origin.scorer)
    client.close()


def test_bad_calls():
    space = make_space()
    for bad in ("", "a/b", "skills--0123456789ab", "x" * 300):
        with pytest.raises(UserError, match="cannot be named"):
            QdrantIndex.create(":memory:", bad, space)
    with pytest.raises(UserError, match="no targets"):
        QdrantIndex.create(":memory:", "skills", Index(space.origin, space.dtype, WIDTH, False, []))


def test_folders_that_cannot_be_opened(tmp_path):
    store, space = tmp_path / "store", make_space(texts=3)
    with pytest.raises(UserError, match="holds no Qdrant store"):
        QdrantIndex.open(store, "skills")
    assert not store.exists()
    with QdrantIndex.create(store, "skills", space), pytest.raises(UserError, match="open in another process"):
        QdrantIndex.open(store, "skills")
    QdrantIndex.open(store, "skills").close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="neither a Qdrant store nor an empty folder"):
        QdrantIndex.create(tmp_path / "other", "skills", space)
    (store / "meta.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot be opened .*JSONDecodeError"):
        QdrantIndex.open(store, "skills")


def test_servers_that_do_not_answer(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"does not answer .*Check the address"):
            QdrantIndex.open(f"http://127.0.0.1:{free.getsockname()[1]}", "skills")
    monkeypatch.setattr(connection, "FIRST_ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError, match=r"no answer within 0\.1 s"):
        QdrantIndex.open(f"http://127.0.0.1:{silent.getsockname()[1]}", "skills")
    for url in ("ftp://host", "https://", "http://host:port"):
        with pytest.raises(UserError, match=r"the address must start|invalid address"):
            QdrantIndex.open(url, "skills")


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_servers_that_answer_otherwise(monkeypatch):
    with qdrant_server() as server:
        space = make_space(texts=3)
        server.key = "secret"
        with pytest.raises(UserError, match=r"requires another API key \(HTTP 403: forbidden\)\. Set \$QDRANT_API_KEY"):
            QdrantIndex.create(server.url, "skills", space)
        monkeypatch.setenv("QDRANT_API_KEY", "secret")
        QdrantIndex.create(server.url, "skills", space).close()
        server.version = "1.9.2"
        with pytest.raises(UserError, match=r"has version 1\.9\.2; 1\.16 or newer is needed"):
            QdrantIndex.open(server.url, "skills")
        server.version = None
        with pytest.raises(UserError, match="does not answer as a Qdrant server does"):
            QdrantIndex.open(server.url, "skills")
        with pytest.raises(UserError, match=r"answered HTTP 404: GET elsewhere not found"):
            QdrantIndex.open(server.url + "/elsewhere", "skills")


def test_a_callers_client_over_grpc():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        client = QdrantClient(host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=5)
        with pytest.raises(UserError, match=r"the given client's store does not answer \(UNAVAILABLE"):
            QdrantIndex.open(client, "skills")
        client.close()


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(UserError, match=r"qdrant_client, which is not installed. .* -m pip install .*\[qdrant\]"):
        open_index("qdrant:store#skills")


def test_an_index_by_its_location(tmp_path, queries):
    space = make_space()
    specs = [str(tmp_path / "space"), f"qdrant:{tmp_path / 'store'}#skills"]
    space.save(specs[0])
    QdrantIndex.create(tmp_path / "store", "skills", space).close()
    for spec in specs:
        opened = open_index(spec)
        assert opened.origin == space.origin
        assert_same(opened.search(queries, K, ScorerSettings()), space.search(queries, K, ScorerSettings()))
        if isinstance(opened, QdrantIndex):
            opened.close()
    assert in_qdrant("qdrant:http://h:6333#skills") == ("http://h:6333", "skills")
    for bad in ("qdrant:", "qdrant:#skills", "qdrant:store", "qdrant:store#"):
        with pytest.raises(UserError, match="does not name an index in Qdrant"):
            open_index(bad)


def test_the_digest_changes_with_all_that_is_stored():
    space = make_space(texts=4)
    tokens, texts, ids = space.tokens, list(space.texts), list(space.ids)
    other = dataclasses.replace(tokens, flat=tokens.flat + np.eye(len(tokens.flat), WIDTH, dtype=np.float32) * 1e-3)
    moved = dataclasses.replace(tokens, offsets=tokens.offsets + (np.arange(5) == 2))
    digests = {
        upload.content_digest(*each)
        for each in (
            (tokens, texts, ids),
            (other, texts, ids),
            (moved, texts, ids),
            (tokens, texts[::-1], ids),
            (tokens, texts, ids[::-1]),
            (tokens, texts, ids, "x"),
        )
    }
    assert len(digests) == 6

"""Making a task from texts: what is joined or left out is counted, and what cannot be ranked is an error."""

import pytest
from task_data import make_task, relevant

from uwe_jax.runtime.errors import UserError


def task(pairs, targets=("cooking", "welding"), **changes):
    settings = {"split": "all", "kinds": ("job", "skill"), "origin": "a test", **changes}
    return make_task("own", "Own task", pairs=pairs, targets=targets, **settings)


def test_targets_are_the_sorted_vocabulary_also_without_queries():
    made = task([("chef", ["cooking"])], targets=["welding", " cooking", "acting", "welding"])
    assert made.targets == ("acting", "cooking", "welding")
    assert relevant(made) == {("chef", "cooking")}
    assert made.notes == ("1 equal target joined",)


def test_equal_queries_are_joined_or_kept_apart():
    pairs = [("chef", ["cooking"]), ("chef ", ["welding"]), ("smith", ["welding"])]
    joined = task(pairs)
    assert joined.queries == ("chef", "smith")
    assert relevant(joined) == {("chef", "cooking"), ("chef", "welding"), ("smith", "welding")}
    assert joined.notes == ("1 equal query joined",)
    apart = task(pairs, merge_queries=False)
    assert apart.queries == ("chef", "chef", "smith")
    assert apart.relevant.toarray().tolist() == [[True, False], [False, True], [False, True]]


def test_left_out_texts_are_counted():
    made = task(
        [("chef", ["cooking", "UNKNOWN"]), ("poet", []), ("pilot", ["flying"]), ("  ", ["cooking"])],
        targets=["cooking", "welding", ""],
    )
    assert made.queries == ("chef",)
    assert set(made.notes) == {
        "1 empty target left out",
        "2 labels not among the targets left out",
        "2 queries without a relevant target left out",
        "1 empty query left out",
    }


def test_labels_are_normalised_like_targets():
    made = task([("chef", ["cafe\u0301", "welding", "  cooking"])], targets=["caf\u00e9", "welding", "cooking "])
    assert relevant(made) == {("chef", "caf\u00e9"), ("chef", "welding"), ("chef", "cooking")}
    assert made.notes == ()


def test_a_label_named_twice_is_one_edge():
    assert task([("chef", ["cooking", "cooking"])]).relevant.nnz == 1


def test_nothing_to_rank_is_an_error_with_numbers():
    with pytest.raises(UserError, match=r"Own task has nothing to rank: of 2 queries 2 have no relevant target"):
        task([("pilot", ["flying"]), ("poet", [])])
    with pytest.raises(UserError, match="target space of 1"):
        task([("chef", ["cooking"])], targets=["cooking"])


def test_a_sample_is_reproducible_and_noted():
    pairs = [(f"query {k}", ["cooking"]) for k in range(50)]
    made = task(pairs)
    one, two = made.sample(10), made.sample(10)
    assert one.queries == two.queries
    assert len(set(one.queries)) == 10
    assert one.relevant.shape == (10, 2)
    assert one.notes[-1] == "10 of 50 queries drawn at random"
    assert made.sample(0) is made
    assert made.sample(50) is made

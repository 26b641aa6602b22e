"""Tasks on symbols: exact vectors, reference losses by sampled strategies, demands by brute force."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from strategies import agrees, cross_entropy, halves, oracle

from hitherto.tasks.copying import CopyingMemory
from hitherto.tasks.recall import AssociativeRecall
from hitherto.tasks.start_end import StartEndSimilarity
from hitherto.tasks.state_tracking import StateTracking, elements, multiplication_table

TRUTH = oracle("start_end")["tasks"]


def all_words(symbols, length):
    return np.array(list(itertools.product(range(symbols), repeat=length)))


def tokens(sequences):
    return sequences.inputs.argmax(axis=-1)


# Copying memory


def test_copying_is_the_published_layout():
    truth = TRUTH["copy"]
    task = CopyingMemory(word=truth["words_len_m"], alphabet=truth["n"], delay=truth["delay_B"])
    sequences = task.sequences(np.array([truth["word"]]))
    assert tokens(sequences)[0].tolist() == truth["x"]
    assert sequences.targets[0].tolist() == truth["y"]
    assert (task.length, task.input_size, task.output_size) == (truth["T"], truth["input_classes"], 6)
    assert sequences.mask.all()
    assert sequences.inputs.sum(axis=-1) == pytest.approx(1)
    assert task.references["memoryless"] == pytest.approx(truth["baseline_loss"], rel=1e-12)
    assert task.memoryless_accuracy == pytest.approx(truth["baseline_accuracy"], rel=1e-12)


def test_copying_baseline_at_the_published_sizes():
    truth = TRUTH["copy_author_defaults"]
    task = CopyingMemory(word=truth["m"], alphabet=truth["n"], delay=truth["B"])
    assert task.length == truth["T"]
    assert task.references["memoryless"] == pytest.approx(truth["baseline_loss"], rel=1e-12)


def test_copying_baseline_is_what_a_clock_reaches():
    task = CopyingMemory(word=4, alphabet=5, delay=3)
    sequences = task.sample(50, seed=3)
    probabilities = np.zeros((50, task.length, task.output_size))
    probabilities[:, :-4, 5] = 1
    probabilities[:, -4:, :5] = 1 / 5
    assert cross_entropy(probabilities, sequences)[0] == pytest.approx(task.references["memoryless"], rel=1e-12)


@pytest.mark.parametrize(("word", "alphabet", "delay"), [(1, 2, 0), (2, 3, 0), (2, 3, 1), (3, 2, 4), (3, 3, 3)])
def test_copying_demand(word, alphabet, delay):
    task = CopyingMemory(word, alphabet, delay)
    sequences = task.sequences(all_words(alphabet, word))
    matrix = halves(sequences)
    assert np.linalg.matrix_rank(matrix) == task.demand.rank
    assert len(np.unique(matrix, axis=0)) == round(2**task.demand.bits)
    for place in range(word):
        assert (tokens(sequences)[:, place] == sequences.targets[:, place + task.demand.lag]).all()


# Start-end similarity


@pytest.mark.parametrize("case", TRUTH["ses"])
def test_similarity_labels(case):
    task = StartEndSimilarity(length=8, word=4, alphabet=4, classes=case["C"] + 1)
    sequences = task.sequences(np.array([case["a"]]), np.array([case["b"]]), np.array([0]))
    assert sequences.targets[0, -1] == case["label"]
    assert tokens(sequences)[0].tolist() == case["a"] + case["b"]
    assert sequences.mask.tolist() == [[False] * 7 + [True]]


def test_similar_words_stand_at_one_offset_among_blanks():
    task = StartEndSimilarity(length=20, word=6, alphabet=5)
    sequences = task.sample(400, seed=1)
    seen = tokens(sequences)
    places = np.array([np.flatnonzero(row < 5) for row in seen])
    assert task.input_size == 6
    assert set(places[:, 0]) == {0, 1, 2, 3}  # the last place of a half is not used
    assert (places == places[:, :1] + np.r_[0:6, 10:16]).all()
    matches = [int((row[p[:6]] == row[p[6:]]).sum()) for row, p in zip(seen, places, strict=True)]
    assert set(matches) == {0, 3, 6}
    assert sequences.targets[:, -1].tolist() == [round(Fraction(2 * k, 6)) for k in matches]
    assert all(abs(n - 400 / 3) < 4 * (400 * 2 / 9) ** 0.5 for n in Counter(matches).values())


def test_equal_places_and_other_symbols_are_uniform():
    task = StartEndSimilarity(length=8, word=4, alphabet=3)
    seen = tokens(task.sample(6000, seed=2))
    equal = seen[:, :4] == seen[:, 4:]
    half = equal[equal.sum(axis=1) == 2]
    assert np.abs(half.mean(axis=0) - 0.5).max() < 4 * 0.5 / len(half) ** 0.5
    shift = ((seen[:, 4:] - seen[:, :4]) % 3)[~equal]
    assert abs((shift == 1).mean() - 0.5) < 4 * 0.5 / len(shift) ** 0.5


@pytest.mark.parametrize(("word", "classes"), [(4, 3), (5, 4), (3, 4), (4, 5)])
def test_similarity_chance_is_the_entropy_of_sampled_labels(word, classes):
    task = StartEndSimilarity(length=2 * word, word=word, alphabet=3, classes=classes)
    sequences = task.sample(3000, seed=5)
    shares = np.bincount(sequences.targets[:, -1], minlength=classes) / 3000
    probabilities = np.broadcast_to(shares, (3000, 2 * word, classes))
    loss, _ = cross_entropy(np.maximum(probabilities, 1e-300), sequences)
    assert abs(loss - task.references["chance"]) < 0.01


@pytest.mark.parametrize(
    ("word", "alphabet", "classes"), [(2, 2, 3), (3, 2, 3), (4, 2, 3), (2, 3, 3), (3, 3, 3), (3, 2, 4), (4, 2, 2)]
)
def test_similarity_demand(word, alphabet, classes):
    task = StartEndSimilarity(2 * word, word, alphabet, classes)
    words = all_words(alphabet, word)
    labels = [[round(Fraction((classes - 1) * int((a == b).sum()), word)) for b in words] for a in words]
    matrix = np.concatenate([np.equal(labels, c) for c in range(classes)], axis=1).astype(float)
    assert np.linalg.matrix_rank(matrix) == task.demand.rank
    assert len(np.unique(matrix, axis=0)) == round(2**task.demand.bits)
    first, second = (np.array(w) for w in zip(*itertools.product(words, words), strict=True))
    assert (halves(task.sequences(first, second, np.zeros(len(first), int))).sum() == matrix.sum()).all()


def test_some_label_sets_need_less_than_full_rank():
    ranks = {m: StartEndSimilarity(2 * m, m, 2, 2).demand.rank for m in range(1, 9)}
    assert any(rank < 2**m for m, rank in ranks.items())
    assert StartEndSimilarity(20, 4, 3).demand.rank is None


# State tracking


@pytest.mark.parametrize(("group", "order"), [("C2", 2), ("C5", 5), ("S3", 6), ("A4", 12), ("S4", 24), ("A5", 60)])
def test_groups_are_groups(group, order):
    table = multiplication_table(group)
    numbers = np.arange(order)
    assert table.shape == (order, order)
    assert (table[0] == numbers).all()
    assert (table[:, 0] == numbers).all()
    assert (np.sort(table, axis=0) == numbers[:, None]).all()
    assert (np.sort(table, axis=1) == numbers).all()
    some = np.random.default_rng(0).integers(order, size=(3, 500))
    assert (table[table[some[0], some[1]], some[2]] == table[some[0], table[some[1], some[2]]]).all()
    assert (table == table.T).all() == (group[0] == "C")


def test_a5_is_the_group_of_even_permutations():
    signs = [np.linalg.det(np.eye(5)[list(p)]) for p in elements("A5")]
    assert signs == pytest.approx([1] * 60)
    orders = Counter(next(n for n in range(1, 6) if _power(p, n) == tuple(range(5))) for p in elements("A5"))
    assert orders == {1: 1, 2: 15, 3: 20, 5: 24}


def _power(p, n):
    result = tuple(range(len(p)))
    for _ in range(n):
        result = tuple(p[i] for i in result)
    return result


@pytest.mark.parametrize("group", ["C2", "C7", "S3", "A5"])
def test_states_are_products_of_permutation_matrices(group):
    sequences = StateTracking(group, length=9).sample(20, seed=4)
    matrices = np.array([np.eye(len(p))[:, list(p)] for p in elements(group)])
    for factors, products in zip(tokens(sequences), sequences.targets, strict=True):
        product = np.eye(matrices.shape[1])
        for factor, told in zip(factors, products, strict=True):
            product = product @ matrices[factor]
            assert (product == matrices[told]).all()


def test_parity():
    sequences = StateTracking("C2", length=12).sample(30, seed=0)
    assert (sequences.targets == tokens(sequences).cumsum(axis=1) % 2).all()
    assert sequences.mask.all()


def test_tracking_references_are_what_strategies_reach():
    task = StateTracking("S3", length=5)
    sequences = task.sample(4000, seed=6)
    uniform = np.full((4000, 5, 6), 1 / 6)
    assert cross_entropy(uniform, sequences)[0] == pytest.approx(task.references["chance"], rel=1e-12)
    uniform[:, 0] = np.maximum(sequences.inputs[:, 0], 1e-300)
    assert cross_entropy(uniform, sequences)[0] == pytest.approx(task.references["memoryless"], rel=1e-12)
    # No better answer from time and present input: their classes are uniform from the second step on.
    for t in range(1, 5):
        counts = np.histogram2d(tokens(sequences)[:, t], sequences.targets[:, t], bins=6)[0]
        assert np.abs(counts - 4000 / 36).max() < 5 * (4000 / 36) ** 0.5


@pytest.mark.parametrize(("group", "length"), [("C2", 2), ("C2", 5), ("C3", 4), ("S3", 3), ("C4", 1)])
def test_tracking_demand(group, length):
    task = StateTracking(group, length)
    matrix = halves(task.sequences(all_words(task.order, length)))
    assert np.linalg.matrix_rank(matrix) == task.demand.rank
    assert len(np.unique(matrix, axis=0)) == round(2**task.demand.bits)


# Associative recall


@pytest.mark.parametrize(
    "task", [AssociativeRecall(), AssociativeRecall(3, 2, 7, 4, 12), AssociativeRecall(1, 1, 1, 2, 3)]
)
def test_recall_answers_by_lookup(task):
    sequences = task.sample(200, seed=7)
    pairs = 2 * task.pairs
    for row, answers, asked in zip(tokens(sequences), sequences.targets, sequences.mask, strict=True):
        memory = dict(zip(row[:pairs:2].tolist(), (row[1:pairs:2] - task.keys).tolist(), strict=True))
        assert len(memory) == task.pairs
        assert max(memory) < task.keys
        assert 0 <= min(memory.values()) <= max(memory.values()) < task.values
        queries = row[asked].tolist()
        assert len(set(queries)) == len(queries) == task.queries
        assert answers[asked].tolist() == [memory[key] for key in queries]
        assert not asked[:pairs].any()
        assert (row[pairs:][~asked[pairs:]] == task.keys + task.values).all()


def test_queries_stand_anywhere_after_the_pairs():
    asked = AssociativeRecall(pairs=2, queries=1, keys=4, length=10).sample(3000, seed=8).mask.mean(axis=0)
    assert asked[4:] == pytest.approx(1 / 6, abs=4 * (5 / 36 / 3000) ** 0.5)


def test_recall_reference_is_what_counting_values_reaches():
    task = AssociativeRecall(pairs=5, queries=3, keys=9, values=4, length=16)
    sequences = task.sample(4000, seed=9)
    shown = (tokens(sequences)[:, 1:10:2] - task.keys)[..., None] == np.arange(4)
    probabilities = np.broadcast_to(shown.mean(axis=1)[:, None], (4000, 16, 4))
    measured = cross_entropy(np.where(sequences.mask[..., None], probabilities, 1), sequences)
    assert agrees(measured, task.references["values_without_keys"])
    assert task.references["values_without_keys"] < task.references["chance"] == pytest.approx(np.log(4))


@pytest.mark.parametrize(("pairs", "queries", "values"), [(2, 1, 2), (2, 2, 3), (3, 1, 2)])
def test_recall_demand(pairs, queries, values):
    task = AssociativeRecall(pairs, queries, keys=pairs, values=values, length=4 * pairs)
    matrix = halves(task.sample(20_000, seed=10))
    assert np.linalg.matrix_rank(matrix) == task.demand.rank
    assert len(np.unique(matrix, axis=0)) == round(2**task.demand.bits)
    assert AssociativeRecall(pairs, queries, pairs + 1, values, 4 * pairs).demand.rank is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CopyingMemory(word=0), "word must be at least 1, found 0"),
        (lambda: CopyingMemory(alphabet=1), "alphabet must be at least 2, found 1; one symbol"),
        (lambda: CopyingMemory(delay=-1), "delay must be at least 0, found -1"),
        (lambda: StartEndSimilarity(length=81), "even length, found 81; take 82"),
        (
            lambda: StartEndSimilarity(length=20, word=11),
            "words of 11 .* found length 20; give a length of at least 22",
        ),
        (lambda: StartEndSimilarity(alphabet=1), "alphabet must be at least 2"),
        (lambda: StartEndSimilarity(word=1), "word must be at least 2, found 1; shorter words leave a class empty"),
        (lambda: StartEndSimilarity(classes=1), "classes must be at least 2"),
        (lambda: StateTracking("C1"), "no group 'C1'; there are C2, C3"),
        (lambda: StateTracking("A6"), "no group 'A6'; there are .* A4 and A5"),
        (lambda: StateTracking(length=0), "length must be at least 1"),
        (lambda: AssociativeRecall(pairs=2, queries=3), "3 queries need as many pairs, found 2"),
        (lambda: AssociativeRecall(pairs=9), "keys must be at least 9, found 8"),
        (lambda: AssociativeRecall(values=1), "values must be at least 2"),
        (lambda: AssociativeRecall(length=11), "length must be at least 12, found 11"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

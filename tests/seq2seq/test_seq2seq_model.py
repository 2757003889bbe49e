"""The network: padding changes nothing, attention is a distribution, LSTM and attention are the textbook's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seq2seq.attention import ATTENTIONS, Additive, Location
from seq2seq.lstm import LSTM, run_lstm
from seq2seq.model import Seq2Seq, shift_right
from seq2seq.tasks import with_targets
from seq2seq.vocabulary import PAD, SPECIAL, pad

ROWS = [[5, 9, 4], [7, 7, 3, 8, 6, 10], [11]]
LOOKING = [name for name in ATTENTIONS if name != "none"]


def small_model(attention: str = "additive", *, bidirectional: bool = True) -> Seq2Seq:
    return Seq2Seq(
        SPECIAL + 9,
        attention=attention,
        embedding_size=6,
        hidden_size=8,
        attention_size=5,
        bidirectional=bidirectional,
        rngs=nnx.Rngs(0),
    )


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_never_changes_an_output(attention, bidirectional):
    model = small_model(attention, bidirectional=bidirectional)
    narrow, wide = (with_targets("reverse", pad(ROWS, width=width)) for width in (6, 11))
    logits, padded = model(narrow.source, narrow.target), model(wide.source, wide.target)
    for row, padded_row, symbols in zip(logits, padded, ROWS, strict=True):
        length = len(symbols) + 1
        assert np.allclose(row[:length], padded_row[:length], atol=1e-5)


@pytest.mark.parametrize("attention", LOOKING)
def test_attention_sums_to_one_over_the_source_and_is_exactly_zero_on_padding(attention):
    examples = with_targets("reverse", pad(ROWS, width=8))
    weights = np.asarray(small_model(attention).align(examples.source, examples.target))
    for row, symbols in zip(weights, ROWS, strict=True):
        width = len(symbols) + 2  # with the begin and the end mark
        assert row[: width - 1, :width].sum(-1) == pytest.approx(np.ones(width - 1), abs=1e-5)
        assert not row[:, width:].any()


def test_without_attention_the_decoder_looks_nowhere():
    examples = with_targets("reverse", pad(ROWS, width=8))
    assert not np.asarray(small_model("none").align(examples.source, examples.target)).any()


def test_the_lstm_is_that_of_the_textbook_forward_and_backward():
    """Gates in the order input, forget, cell, output; computed here in NumPy, one step after the other."""
    lstm = LSTM(3, 4, rngs=nnx.Rngs(1))
    inputs = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    mask = np.ones((5, 2), bool)
    input_kernel, kernel, bias = (np.asarray(w[...]) for w in (lstm.input_kernel, lstm.kernel, lstm.bias))
    for reverse in (False, True):
        outputs, last = run_lstm(lstm, jnp.asarray(inputs), jnp.asarray(mask), reverse=reverse)
        hidden, cell = np.zeros((2, 4)), np.zeros((2, 4))
        for place in range(5)[:: -1 if reverse else 1]:
            gates = inputs[place] @ input_kernel + hidden @ kernel + bias
            write, keep, new, read = np.split(gates, 4, axis=1)
            cell = sigmoid(keep) * cell + sigmoid(write) * np.tanh(new)
            hidden = sigmoid(read) * np.tanh(cell)
            assert np.allclose(outputs[place], hidden, atol=1e-5)
        assert np.allclose(last, hidden, atol=1e-5)


def test_additive_attention_is_that_of_the_paper():
    attention = Additive(6, 5, rngs=nnx.Rngs(2))
    rng = np.random.default_rng(0)
    memory, query = rng.normal(size=(2, 4, 6)).astype(np.float32), rng.normal(size=(2, 5)).astype(np.float32)
    mask = np.asarray([[True] * 4, [True, True, False, False]])
    weights = attention(jnp.asarray(query), attention.keys(jnp.asarray(memory)), jnp.asarray(mask), jnp.zeros((2, 4)))
    scores = np.tanh(query[:, None] + memory @ attention.key_kernel[...]) @ attention.score_kernel[...]
    expected = np.exp(np.where(mask, scores, -np.inf))
    assert np.allclose(weights, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_gradients_written_by_hand_are_those_of_differences():
    """Of the whole model, in the direction of a random vector, against central differences in float64."""
    examples = with_targets("reverse", pad(ROWS, width=6))
    graph, params = nnx.split(small_model())

    def loss(params: nnx.State) -> jax.Array:
        logits = nnx.merge(graph, params, copy=True)(examples.source, examples.target)
        return jnp.where((examples.target != PAD)[..., None], jax.nn.log_softmax(logits) ** 2, 0).mean()

    keys = iter(jax.random.split(jax.random.key(0), 100))
    direction = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape), params)
    moved = [loss(jax.tree.map(lambda a, b, step=step: a + step * b, params, direction)) for step in (-1e-3, 1e-3)]
    slopes = jax.tree.map(lambda a, b: (a * b).sum(), jax.grad(loss)(params), direction)
    assert sum(jax.tree.leaves(slopes)) == pytest.approx(float(moved[1] - moved[0]) / 2e-3, rel=2e-2)


def test_location_moves_one_place_in_either_direction_and_keeps_what_would_leave_the_sequence():
    attention = Location(6, 5, rngs=nnx.Rngs(3))
    mask = jnp.asarray([[True, True, True, False]])
    first, last = attention._ends(mask)
    assert (first.tolist(), last.tolist()) == ([[1, 0, 0, 0]], [[0, 0, 1, 0]])
    left, same, right = attention._moves(jnp.asarray([[0.1, 0.2, 0.7, 0.0]]), mask)
    assert np.allclose(left, [[0.3, 0.7, 0, 0]])
    assert np.allclose(same, [[0.1, 0.2, 0.7, 0]])
    assert np.allclose(right, [[0, 0.1, 0.9, 0]])


def test_teacher_forcing_reads_the_true_tokens_and_free_running_those_that_greedy_search_writes():
    model, examples = small_model(), with_targets("reverse", pad(ROWS, width=6))
    key, true = jax.random.key(0), shift_right(examples.target)
    assert np.array_equal(model.sample(examples.source, true, ratio=1.0, key=key), true)
    free = np.asarray(model.sample(examples.source, true, ratio=0.0, key=key))
    assert not np.array_equal(free, true)
    logits = model(examples.source, examples.target, inputs=jnp.asarray(free))
    assert np.array_equal(free[:, 0], true[:, 0]), "before the first symbol there is nothing to force"
    assert np.array_equal(free[:, 1:], logits.argmax(-1)[:, :-1]), "each token is the likeliest after those before it"
    mixed = np.asarray(model.sample(examples.source, true, ratio=0.5, key=key))
    assert not np.array_equal(mixed, free)
    assert not np.array_equal(mixed, true)


def test_dropout_acts_in_training_only_and_needs_a_key_there():
    model = Seq2Seq(SPECIAL + 9, embedding_size=6, hidden_size=8, attention_size=5, dropout=0.5, rngs=nnx.Rngs(0))
    examples = with_targets("reverse", pad(ROWS, width=6))
    model.train()
    one, other = (model(examples.source, examples.target, rngs=nnx.Rngs(dropout=seed)) for seed in (0, 1))
    assert not np.allclose(one, other)
    model.eval()
    assert np.array_equal(model(examples.source, examples.target), model(examples.source, examples.target))


def test_a_tied_output_has_no_weights_of_its_own_for_the_tokens_but_a_bias():
    sizes = {"embedding_size": 6, "hidden_size": 8, "attention_size": 5, "rngs": nnx.Rngs(0)}
    tied, free = (Seq2Seq(SPECIAL + 90, tied_output=tied_output, **sizes) for tied_output in (True, False))
    count = [sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model.output))) for model in (tied, free)]
    assert count == [16 * 6 + 6 + 93, 16 * 93 + 93]
    examples = with_targets("reverse", pad(ROWS, width=6))
    assert tied(examples.source, examples.target).shape == (3, 7, 93)

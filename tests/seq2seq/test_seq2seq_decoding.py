"""Searches: greedy stops at the end mark, a beam of one is greedy, a wider beam never ends below it."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_models.errors import UsageError
from seq2seq.configuration import Recipe, TrainConfig
from seq2seq.decoding import align, beam_search, decode, greedy_search, search
from seq2seq.model import Seq2Seq
from seq2seq.storage import TrainedModel
from seq2seq.vocabulary import EOS, PAD, SPECIAL, Symbols, pad

SIZES = {"vocabulary_size": 9, "max_length": 6, "hidden_size": 8, "embedding_size": 6, "attention_size": 5}
CONFIG = TrainConfig(**SIZES, recipe=Recipe(dropout=0.0))
NUM_TOKENS = SPECIAL + 9
SOURCE = pad([[5, 9, 4], [7, 7, 3, 8, 6, 10], [11], [3, 4]], width=6)


@pytest.fixture(scope="module", params=[0, 1, 2])
def model(request) -> Seq2Seq:
    """Fresh weights, sharpened, so that searches differ and some outputs end early."""
    model = CONFIG.new_model(NUM_TOKENS, rngs=nnx.Rngs(request.param))
    model.output.linear.kernel[...] = 6 * model.output.linear.kernel[...]
    return model


def test_greedy_writes_the_most_likely_token_given_its_own_output_and_nothing_after_the_end(model):
    found = search(model, SOURCE, beam_size=1, max_steps=10)
    tokens = np.asarray(found.tokens)
    logits = np.array(model(jnp.asarray(SOURCE), jnp.asarray(np.where(tokens == PAD, EOS, tokens))))
    logits[..., :EOS] = -np.inf
    for row, best in zip(tokens, logits.argmax(-1), strict=True):
        length = list(row).index(EOS) + 1 if EOS in row else len(row)
        assert row[:length].tolist() == best[:length].tolist()
        assert not row[length:].any()


def test_a_beam_of_one_is_greedy(model):
    greedy = greedy_search(model, jnp.asarray(SOURCE), max_steps=10)
    beam = beam_search(model, jnp.asarray(SOURCE), beam_size=1, max_steps=10)
    assert np.array_equal(greedy.tokens, beam.tokens)
    assert np.allclose(greedy.scores, beam.scores, atol=1e-5)


@pytest.mark.parametrize("beam_size", [2, 5])
def test_a_wider_beam_never_scores_below_greedy(model, beam_size):
    greedy, beam = (search(model, SOURCE, beam_size=size, max_steps=10) for size in (1, beam_size))
    assert (np.asarray(beam.scores) >= np.asarray(greedy.scores) - 1e-6).all()


def test_scores_are_the_mean_log_probability_of_the_tokens(model):
    found = search(model, SOURCE, beam_size=3, max_steps=10)
    tokens = np.asarray(found.tokens)
    logits = np.array(model(jnp.asarray(SOURCE), jnp.asarray(np.where(tokens == PAD, EOS, tokens))))
    logits[..., :EOS] = -np.inf
    log_probs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    log_probs -= logits.max(-1, keepdims=True)
    for row, scores, score in zip(tokens, log_probs, np.asarray(found.scores), strict=True):
        written = row != PAD
        assert score == pytest.approx(scores[np.arange(len(row)), row][written].mean(), abs=1e-4)


def trained(model: Seq2Seq) -> TrainedModel:
    return TrainedModel(model, Symbols(tuple(range(9))), CONFIG)


def test_decode_takes_and_gives_symbols_in_order(model):
    sequences = [[1, 2, 3], [4], [8, 7, 6, 5, 4, 3]]
    outputs = decode(trained(model), sequences)
    assert [decode(trained(model), [sequence])[0] for sequence in sequences] == outputs
    assert all(0 <= symbol < 9 for output in outputs for symbol in output)


def test_alignments_have_a_row_for_each_symbol_written(model):
    alignment = align(trained(model), [1, 2, 3])
    assert alignment.source == ["1", "2", "3"]
    assert alignment.output == [*map(str, decode(trained(model), [[1, 2, 3]])[0])]
    assert alignment.weights.shape == (len(alignment.output), 3)
    assert (alignment.weights.sum(1) <= 1 + 1e-5).all()


def test_the_order_in_which_sequences_are_decoded_does_not_show():
    model = trained(CONFIG.new_model(NUM_TOKENS, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    sequences = [rng.integers(9, size=rng.integers(1, 7)).tolist() for _ in range(300)]
    outputs = decode(model, sequences)
    assert outputs[250:260] == decode(model, sequences[250:260])


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([[1, 9]], r"sequence 1 holds '9', which is not in the vocabulary \(0 to 8\)"),
        ([[1], []], "sequence 2 is empty; give at least one symbol"),
        ([[1] * 7], "sequence 1 has 7 symbols, and the limit is 6"),
        ([], "there is no sequence; give at least one"),
    ],
)
def test_wrong_sequences_are_refused_in_one_line(sequences, message):
    with pytest.raises(UsageError, match=message):
        decode(trained(CONFIG.new_model(NUM_TOKENS, rngs=nnx.Rngs(0))), sequences)


def test_a_beam_needs_a_place():
    with pytest.raises(UsageError, match="beam size is 0; it must be at least 1"):
        decode(trained(CONFIG.new_model(NUM_TOKENS, rngs=nnx.Rngs(0))), [[1]], beam_size=0)


def test_longer_sequences_than_in_training_are_decoded_on_request():
    model = trained(CONFIG.new_model(NUM_TOKENS, rngs=nnx.Rngs(0)))
    with pytest.raises(UsageError, match="the limit is 6"):
        decode(model, [[1] * 12])
    (output,) = decode(model, [[1] * 12], max_length=12)
    assert len(output) <= 2 * 16

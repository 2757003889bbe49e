"""The comparison with PyTorch: both sides compute the same, part by part, and the command says how fast they are."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

torch = pytest.importorskip("torch")

from jax_models.errors import UsageError  # noqa: E402
from seq2seq import speed, torch_peer  # noqa: E402
from seq2seq.attention import Additive  # noqa: E402
from seq2seq.lstm import LSTM, lstm_update, run_lstm  # noqa: E402
from seq2seq.model import Seq2Seq, shift_right, wrap  # noqa: E402
from seq2seq.scoring import masked_sums  # noqa: E402
from seq2seq.tasks import Examples, with_targets  # noqa: E402
from seq2seq.vocabulary import SPECIAL  # noqa: E402

FIELDS = {
    "size",
    "mode",
    "ours_ms",
    "torch_ms",
    "ours_tokens_per_second",
    "torch_tokens_per_second",
    "ratio",
    "torch_variant",
}


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tensor(array) -> "torch.Tensor":
    return torch.tensor(np.array(array))


def with_weights(module: "torch.nn.Module", **weights) -> "torch.nn.Module":
    module.load_state_dict({name: tensor(array) for name, array in weights.items()})
    return module


def small_model() -> Seq2Seq:
    return Seq2Seq(SPECIAL + 9, embedding_size=6, hidden_size=8, attention_size=5, rngs=nnx.Rngs(0))


def examples() -> Examples:
    return with_targets("reverse", np.random.default_rng(0).integers(SPECIAL, SPECIAL + 9, (4, 7), dtype=np.int32))


def test_one_step_is_that_of_torch_lstm_cell():
    lstm = LSTM(3, 4, rngs=nnx.Rngs(0))
    inputs, hidden, cell = random(2, 3), random(2, 4, seed=1), random(2, 4, seed=2)
    ours = lstm_update(lstm.project(jnp.asarray(inputs)) + hidden @ lstm.kernel[...], jnp.asarray(cell))
    theirs = with_weights(
        torch.nn.LSTMCell(3, 4),
        weight_ih=lstm.input_kernel[...].T,
        weight_hh=lstm.kernel[...].T,
        bias_ih=lstm.bias[...],
        bias_hh=np.zeros(16, np.float32),
    )(tensor(inputs), (tensor(hidden), tensor(cell)))
    for our, their in zip(ours, theirs, strict=True):
        assert np.allclose(our, their.detach(), atol=1e-6)


def test_both_directions_are_those_of_torch_lstm_on_packed_sequences():
    directions = [LSTM(3, 4, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
    inputs, lengths = random(5, 2, 3), [5, 3]
    mask = np.arange(5)[:, None] < np.array(lengths)[None]
    runs = [
        run_lstm(lstm, jnp.asarray(inputs), jnp.asarray(mask), reverse=bool(n)) for n, lstm in enumerate(directions)
    ]
    weights = {}
    for suffix, lstm in zip(("l0", "l0_reverse"), directions, strict=True):
        weights[f"weight_ih_{suffix}"] = lstm.input_kernel[...].T
        weights[f"weight_hh_{suffix}"] = lstm.kernel[...].T
        weights[f"bias_ih_{suffix}"] = lstm.bias[...]
        weights[f"bias_hh_{suffix}"] = np.zeros(16, np.float32)
    packed = torch.nn.utils.rnn.pack_padded_sequence(tensor(inputs), torch.tensor(lengths))
    outputs, (last, _) = with_weights(torch.nn.LSTM(3, 4, bidirectional=True), **weights)(packed)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs)
    ours = np.concatenate([outputs for outputs, _ in runs], axis=-1)
    assert np.allclose(ours[mask], outputs.detach().numpy()[mask], atol=1e-6)
    for (_, our_last), their_last in zip(runs, last, strict=True):
        assert np.allclose(our_last, their_last.detach(), atol=1e-6)


def test_additive_attention_and_its_gradients_are_those_of_torch():
    attention = Additive(6, 5, rngs=nnx.Rngs(2))
    query, memory, weight = random(2, 5), random(2, 4, 6, seed=1), random(2, 4, seed=2)
    mask = np.array([[True] * 4, [True, True, False, False]])

    def ours(query, memory):
        weights = attention(query, attention.keys(memory), jnp.asarray(mask), jnp.zeros((2, 4)))
        return (weights * weight).sum(), weights

    gradients, weights = jax.grad(ours, argnums=(0, 1), has_aux=True)(jnp.asarray(query), jnp.asarray(memory))
    their_query, their_memory = (tensor(array).requires_grad_() for array in (query, memory))
    keys = their_memory @ tensor(attention.key_kernel[...])
    scores = (their_query[:, None] + keys).tanh() @ tensor(attention.score_kernel[...])
    their_weights = scores.masked_fill(~tensor(mask), -torch.inf).softmax(1)
    (their_weights * tensor(weight)).sum().backward()
    assert np.allclose(weights, their_weights.detach(), atol=1e-6)
    for our, their in zip(gradients, (their_query.grad, their_memory.grad), strict=True):
        assert np.allclose(our, their, atol=1e-6)


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_whole_network_has_the_logits_of_its_peer(by_hand):
    assert speed.logits_difference(small_model(), examples(), by_hand=by_hand) < 1e-5


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_loss_and_its_gradients_are_those_of_the_peer(by_hand):
    model, batch = small_model(), examples()
    graph, params = nnx.split(model)

    def loss_fn(params):
        sums = masked_sums(nnx.merge(graph, params, copy=True)(batch.source, batch.target), batch.target)
        return sums.loss / sums.count, sums.correct

    (loss, hits), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    peer = torch_peer.Peer(model, by_hand=by_hand)
    source, inputs = torch_peer.time_first(wrap(batch.source)), torch_peer.time_first(shift_right(batch.target))
    their_loss, their_hits = torch_peer.peer_loss(peer, source, inputs, torch_peer.time_first(batch.target))
    their_loss.backward()
    assert float(loss) == pytest.approx(their_loss.item(), abs=1e-5)
    assert int(hits) == int(their_hits)
    ours = torch_peer.peer_weights(nnx.merge(graph, grads))
    theirs = {name: param.grad for name, param in peer.named_parameters() if param.requires_grad}
    assert len(theirs) == len(ours) - 3  # without PyTorch's second biases
    for name, grad in theirs.items():
        assert np.allclose(ours[name], grad, atol=1e-5), name


def test_a_measurement_in_json_has_every_field_and_nothing_else_is_printed(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(speed, "STEPS", 1)
    monkeypatch.setattr(speed, "TRIALS", 1)
    small = ["--batch-size", "8", "--max-length", "4", "--sizes", "default"]
    speed.main([*small, "--pairs", "2", "--eager", "--json", "--out", str(tmp_path)])
    found = json.loads(capsys.readouterr().out)
    assert [(row["size"], row["mode"]) for row in found] == [("default", "train"), ("default", "decode")]
    for row in found:
        assert row.keys() >= FIELDS
        assert row["ratio"] > 0
        assert row["difference"] < speed.TOLERANCE
        assert row["equal_outputs"] == 1
        assert row["ours_tokens_per_second"] == pytest.approx(8 * 5 * 1000 / row["ours_ms"])
    assert json.loads((tmp_path / "speed.json").read_text())["measurements"] == found
    assert "PyTorch's fastest of" in (tmp_path / "table.md").read_text()


def test_an_unknown_size_is_an_error_that_names_the_known_ones():
    with pytest.raises(UsageError, match="large"):
        speed.main(["--sizes", "huge"])

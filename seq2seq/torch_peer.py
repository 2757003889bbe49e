"""The sequence-to-sequence network in PyTorch, with our weights: what `seq2seq.speed` runs beside ours."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from seq2seq.model import Seq2Seq
from seq2seq.vocabulary import EOS, PAD


class Peer(torch.nn.Module):
    """Our network in PyTorch: the LSTMs have a second bias, as PyTorch's do, that stays zero. Time comes first."""

    def __init__(self, model: Seq2Seq, *, by_hand: bool) -> None:
        super().__init__()
        nn = torch.nn
        (num_tokens, embedding_size), (hidden_size, _) = model.target_embedding.shape, model.context_kernel.shape
        self.by_hand = by_hand
        self.source_embedding = nn.Embedding(num_tokens, embedding_size)
        self.target_embedding = nn.Embedding(num_tokens, embedding_size)
        self.encoder = nn.LSTM(embedding_size, hidden_size // 2, bidirectional=True)
        self.initial = nn.Linear(hidden_size, 2 * hidden_size)
        self.key = nn.Linear(hidden_size, model.attention.query_size, bias=False)
        self.query = nn.Linear(hidden_size, model.attention.query_size)
        self.score = nn.Linear(model.attention.query_size, 1, bias=False)
        self.decoder = nn.LSTMCell(embedding_size + hidden_size, hidden_size)
        self.output = nn.Linear(2 * hidden_size, num_tokens)
        self.load_state_dict({name: torch.tensor(array) for name, array in peer_weights(model).items()})
        for name, param in self.named_parameters():
            param.requires_grad_("bias_hh" not in name)

    def forward(self, source: Any, inputs: Any) -> Any:
        """The logits under teacher forcing; takes and gives time first, the source between its marks."""
        memory, state = self.encode(source)
        kernels = self.kernels()
        features = []
        for projected in self.project(inputs).unbind(0):
            state, context = self.step(memory, state, projected, kernels)
            features.append(torch.cat([state[0], context], 1))
        return self.output(torch.stack(features))

    def encode(self, source: Any) -> tuple[Any, Any]:
        """What is the same for all steps (values, keys, minus infinity at padding), and the first state."""
        values, (last, _) = self.encoder(self.source_embedding(source))
        values = values.transpose(0, 1).contiguous()
        padding = torch.where(source.T == PAD, -torch.inf, 0.0)
        hidden, cell = self.initial(torch.cat([last[0], last[1]], 1)).chunk(2, 1)
        return (values, self.key(values), padding), (hidden.tanh(), cell)

    def kernels(self) -> tuple[Any, Any]:
        """By hand: what makes gates and query of a hidden vector, and gates of a context."""
        embedding_size = self.target_embedding.embedding_dim
        return (
            torch.cat([self.decoder.weight_hh, self.query.weight]).T,
            self.decoder.weight_ih[:, embedding_size:].T,
        )

    def project(self, tokens: Any) -> Any:
        """The decoder's inputs; by hand, their share in gates and query."""
        embedded = self.target_embedding(tokens)
        if not self.by_hand:
            return embedded
        weight = self.decoder.weight_ih[:, : embedded.shape[-1]]
        projected = torch.nn.functional.linear(embedded, weight, self.decoder.bias_ih)
        return torch.cat([projected, self.query.bias.expand(*tokens.shape, -1)], -1)

    def step(self, memory: Any, state: Any, projected: Any, kernels: tuple[Any, Any]) -> tuple[Any, Any]:
        """The next state, and the context."""
        hidden, cell = state
        if not self.by_hand:
            context = self.attend(memory, self.query(hidden))
            return self.decoder(torch.cat([projected, context], 1), state), context
        recurrent, contextual = kernels
        fused = torch.addmm(projected, hidden, recurrent)
        gates, query = fused.split([4 * hidden.shape[1], fused.shape[1] - 4 * hidden.shape[1]], 1)
        context = self.attend(memory, query)
        write, keep, new, read = torch.addmm(gates, context, contextual).chunk(4, 1)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        return (read.sigmoid() * cell.tanh(), cell), context

    def attend(self, memory: Any, query: Any) -> Any:
        """The context."""
        values, keys, padding = memory
        scores = self.score((query[:, None] + keys).tanh())[:, :, 0] + padding
        return torch.bmm(scores.softmax(1)[:, None], values)[:, 0]

    def write(self, memory: Any, state: Any, tokens: Any, kernels: tuple[Any, Any]) -> tuple[Any, Any]:
        """Reads one token each, gives the new state and the most likely token after it."""
        state, context = self.step(memory, state, self.project(tokens), kernels)
        logits = self.output(torch.cat([state[0], context], 1))
        return state, logits[:, EOS:].argmax(1) + EOS


def peer_weights(model: Seq2Seq) -> dict[str, np.ndarray]:
    """Our weights by their PyTorch names."""

    def array(param: Any) -> np.ndarray:
        return np.array(param[...])

    weights = {
        "source_embedding.weight": array(model.source_embedding),
        "target_embedding.weight": array(model.target_embedding),
        "key.weight": array(model.attention.key_kernel).T,
        "score.weight": array(model.attention.score_kernel)[None],
        "query.weight": array(model.query_kernel).T,
        "query.bias": array(model.query_bias),
        "decoder.weight_ih": np.concatenate([array(model.decoder.input_kernel), array(model.context_kernel)]).T,
        "decoder.weight_hh": array(model.decoder.kernel).T,
        "decoder.bias_ih": array(model.decoder.bias),
        "decoder.bias_hh": 0 * array(model.decoder.bias),
    }
    for suffix, lstm in zip(("l0", "l0_reverse"), model.encoder, strict=True):
        weights |= {
            f"encoder.weight_ih_{suffix}": array(lstm.input_kernel).T,
            f"encoder.weight_hh_{suffix}": array(lstm.kernel).T,
            f"encoder.bias_ih_{suffix}": array(lstm.bias),
            f"encoder.bias_hh_{suffix}": 0 * array(lstm.bias),
        }
    for name, linear in {"initial": model.initial, "output": model.output.linear}.items():
        weights |= {f"{name}.weight": array(linear.kernel).T, f"{name}.bias": array(linear.bias)}
    return weights


def peer_loss(peer: Peer, source: Any, inputs: Any, target: Any) -> tuple[Any, Any]:
    """Mean cross-entropy of the tokens that are not padding, and the number of hits."""
    logits = peer(source, inputs)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)
    return loss, ((logits.argmax(-1) == target) & (target != PAD)).sum()


def time_first(tokens: Any) -> Any:
    """A tensor of our tokens, as the peer takes them."""
    return torch.from_numpy(np.asarray(tokens, np.int64).T.copy())

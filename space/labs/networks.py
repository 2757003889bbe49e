"""The project's own trained models in memory, ready to answer. Imports JAX, so import it when a lab is used."""

import functools
import json
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import SingleDeviceSharding
from jaxtyping import Array, Float, UInt8

import seq2seq
from jax_models.classification import new_model
from jax_models.compilation import use_compilation_cache
from jax_models.data import DATASETS, DatasetSpec
from jax_models.data.batches import pad_to_image_size
from jax_models.errors import RunError
from jax_models.evaluation import predict_probabilities
from jax_models.pretrained import from_pretrained
from jax_models.recipes import TrainConfig
from jax_models.registry import MODELS, ModelSpec
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.optim import make_optimizer
from jax_models.training.state import Network, TrainState, Variables, create_state, final_variables, take_apart
from jax_models.weight_files import filled, load_weights
from seq2seq.decoding import WIDTH, search
from seq2seq.vocabulary import EOS, PAD, Characters, Symbols
from space.labs.checkpoints import Checkpoint


@dataclass(frozen=True)
class Classifier:
    """A trained CNN.

    Attributes:
        title, year: of its paper's network.
        spec: the data set that it knows.
        size: bytes of its weights.
    """

    title: str
    year: int
    spec: DatasetSpec
    size: int
    network: Network
    params: Variables
    batch_stats: Variables

    def probabilities(self, image: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, " k"]:
        """Of the data set's classes, for one image of the data set's own shape."""
        images = pad_to_image_size(image[None])
        answers = predict_probabilities(
            self.network, self.params, self.batch_stats, images=images, spec=self.spec, batch_size=1
        )
        return answers[0]


@dataclass(frozen=True)
class Written:
    """An answer of an encoder-decoder.

    Attributes:
        alignment: what was read and written, and where it looked.
        probabilities: of each written symbol, given those before it.
        ended: whether the end mark came in time.
    """

    alignment: seq2seq.Alignment
    probabilities: tuple[float, ...]
    ended: bool


@dataclass(frozen=True)
class Reader:
    """A trained encoder-decoder.

    Attributes:
        size: bytes of its weights.
    """

    trained: seq2seq.TrainedModel
    size: int

    def write(self, line: str) -> Written:
        """What the model writes for a line that a person typed, by greedy search.

        Raises:
            UsageError: an unknown symbol, an empty line, or one that is too long.
        """
        vocabulary, longest = self.trained.vocabulary, self.trained.config.max_length
        sequence = vocabulary.parse(line)
        alignment = seq2seq.align(self.trained, sequence)
        source = vocabulary.encode([sequence], max_length=longest)
        source = np.pad(source, ((0, 0), (0, -source.shape[1] % WIDTH)), constant_values=PAD)  # the shapes of `align`
        tokens = search(self.trained.model, source, beam_size=1, max_steps=2 * source.shape[1]).tokens
        graph, variables = nnx.split(self.trained.model)
        probabilities = np.asarray(_probabilities(graph, variables, source, tokens))[0]
        count = len(alignment.output)
        return Written(alignment, tuple(map(float, probabilities[:count])), bool((tokens == EOS).any()))


def load_classifier(checkpoint: Checkpoint) -> Classifier:
    """Brings a CNN into memory and compiles it for one image.

    Raises:
        RunError: its files are damaged.
        UsageError: they are of another program, or of another version of this one.
    """
    use_compilation_cache()
    if (checkpoint.path / "config.json").is_file():
        saved = from_pretrained(checkpoint.path)
        return _compiled(saved.model, DATASETS[checkpoint.subject], MODELS[saved.family])
    from_file = checkpoint.path.is_file()
    arrays, about = load_weights(checkpoint.path) if from_file else ({}, _result(checkpoint))
    try:
        config = TrainConfig.from_fields(about)
        spec, family = DATASETS[config.dataset], MODELS[config.model]

        def new() -> nnx.Module:
            return new_model(config, spec, rngs=nnx.Rngs(0))

        model = filled(new, arrays) if from_file else nnx.eval_shape(new)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{checkpoint.path.name} does not describe a network of this version ({error})") from error
    if not from_file:
        network, params, batch_stats = take_apart(model)
        model = network.assemble(*_restored(checkpoint, config, params, batch_stats))
    return _compiled(model, spec, family)


def _compiled(model: nnx.Module, spec: DatasetSpec, family: ModelSpec) -> Classifier:
    network, params, batch_stats = take_apart(model)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((params, batch_stats)))
    classifier = Classifier(family.title, family.year, spec, size, network, params, batch_stats)
    classifier.probabilities(np.zeros(spec.shape, np.uint8))
    return classifier


def load_reader(checkpoint: Checkpoint) -> Reader:
    """Brings an encoder-decoder into memory.

    Raises:
        RunError: its files are damaged.
        UsageError: it reads text, and the package `tokenizers` is not installed.
    """
    use_compilation_cache()
    if not checkpoint.path.is_file():
        trained = seq2seq.load_model(checkpoint.path)
    else:
        arrays, about = load_weights(checkpoint.path)
        try:
            config = seq2seq.TrainConfig.from_fields(about["config"])
            vocabulary = _vocabulary(about)
            model = filled(lambda: config.new_model(vocabulary.num_tokens, rngs=nnx.Rngs(0)), arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{checkpoint.path.name} does not describe a model of this version ({error})") from error
        trained = seq2seq.TrainedModel(model, vocabulary, config)
    return Reader(trained, sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(trained.model))))


@functools.partial(jax.jit, static_argnames="graph")
def _probabilities(graph: Any, variables: Variables, source: Array, tokens: Array) -> Array:
    """Of each token, given those before it, among those that may be written: neither padding nor the begin mark."""
    logits = nnx.merge(graph, variables)(source, tokens)[..., EOS:]
    chosen = jnp.maximum(tokens - EOS, 0)[..., None]  # padding, after the end, gets what nobody looks at
    return jnp.take_along_axis(jax.nn.softmax(logits), chosen, axis=-1)[..., 0]


def _vocabulary(about: dict[str, Any]) -> Symbols:
    symbols = tuple(about["symbols"])
    return Characters(symbols) if about["config"]["task"] == "dates" else Symbols(symbols)


def _result(checkpoint: Checkpoint) -> dict[str, Any]:
    return json.loads((checkpoint.path / "result.json").read_text(encoding="utf-8"))


def _restored(
    checkpoint: Checkpoint, config: TrainConfig, params: Variables, batch_stats: Variables
) -> tuple[Variables, Variables]:
    """The weights of the last checkpoint, which orbax can only give together with the rest of the training's state.

    `params` and `batch_stats` are shapes.
    """
    tx, average = make_optimizer(config.recipe), config.recipe.ema_decay > 0

    def new_state(params: Variables, batch_stats: Variables) -> TrainState:
        return create_state(params, batch_stats, tx, key=jax.random.key(0), average=average)

    shapes, here = jax.eval_shape(new_state, params, batch_stats), SingleDeviceSharding(jax.devices()[0])
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), shapes)
    checkpoints = Checkpoints(checkpoint.path / "checkpoints", config.cell)
    try:
        state, history = checkpoints.latest(shapes)
    finally:
        checkpoints.close()
    if not history:
        raise RunError(f"{checkpoint.path.name} holds no checkpoint; train it again")
    return final_variables(state)

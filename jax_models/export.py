"""`python -m jax_models.export`: writes a trained network as one file that JAX runs without this project."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from rich.console import Console

from jax_models import lowering
from jax_models.command_line import Parser
from jax_models.data.augment import normalize
from jax_models.errors import UsageError, run_cli
from jax_models.output import replacing
from jax_models.pretrained import PretrainedModel, from_pretrained
from jax_models.pretrained.hub import zoo_in_help
from jax_models.training.state import take_apart

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
DESCRIPTION = """\
Writes a trained network as one file: StableHLO with the weights and the normalisation inside, by jax.export. It takes
images, uint8 (n, height, width, channels) of any n from 1, and gives probabilities; JAX alone runs it, on CPU, GPU and
TPU.
"""
EPILOG = f"""\
NAME is what from_pretrained takes: one of the zoo, a folder, OWNER/NAME on the hub, or imagenet/NAME.

the zoo:
{zoo_in_help()}

to run such a file:
  import jax.export
  network = jax.export.deserialize(bytearray(open("digits.jaxexport", "rb").read()))
  probabilities = network.call(images)

examples:
  python -m jax_models.export mnist/lenet5-quick digits.jaxexport
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a network that is not there, or flatbuffers is not installed.
        RunError: weights are damaged, or the file cannot be written.
    """
    parser = Parser(prog="python -m jax_models.export", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("name", metavar="NAME", help="a trained network")
    parser.add_argument("file", metavar="FILE", type=Path, help="where it goes")
    options = parser.parse_args(arguments)
    if options.file.is_dir():
        raise UsageError(
            f"{options.file} is a folder; name the file to write, for example {options.file / 'network.jaxexport'}"
        )
    network = from_pretrained(options.name)
    data = exported(network)
    with replacing(options.file) as file:
        file.write(data)
    size, channels = network.preprocessing.image_size, network.in_channels
    reads = f"reads uint8 (n, {size}, {size}, {channels}), gives probabilities (n, {len(network.classes)})"
    Console().print(f"Written: {options.file}, {len(data) / 1e6:.1f} MB; {reads}", highlight=False, soft_wrap=True)


def exported(network: PretrainedModel) -> bytes:
    """The file's content: a function of uint8 images (n, s, s, c), s being `preprocessing.image_size`.

    Its convolutions are XLA's own: the other forms of `lowering` are for programs that this project compiles itself.

    Raises:
        UsageError: the package flatbuffers is not installed.
    """
    (structure, params, batch_stats), preprocessing = take_apart(network.model), network.preprocessing
    mean, std = jnp.asarray(preprocessing.mean), jnp.asarray(preprocessing.std)

    def probabilities(images: UInt8[Array, "n s s c"]) -> Float[Array, "n k"]:
        return jax.nn.softmax(structure.predict(params, batch_stats, normalize(images, mean, std)))

    size = preprocessing.image_size
    shape = jax.export.symbolic_shape(f"n, {size}, {size}, {network.in_channels}")
    with lowering.plain():
        export = jax.export.export(jax.jit(probabilities), platforms=PLATFORMS)
        made = export(jax.ShapeDtypeStruct(shape, jnp.uint8))
    try:
        return bytes(made.serialize())
    except ImportError as error:
        raise UsageError("this needs the package flatbuffers: pip install flatbuffers") from error


if __name__ == "__main__":
    run_cli(main)

"""What a diffusion model has in mind while it still removes noise, cheap enough to be shown at every step."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor
from torch.nn import functional

SMALL_VAE = 10_000_000  # parameters; a smaller one decodes a preview itself
COARSE = 32  # pixels of a preview that no safety checker has seen yet
_MAP = "latent_to_rgb"


@contextlib.contextmanager
def previews(pipeline: Any) -> Iterator[Callable[[], Image.Image]]:
    """Gives a function that, once a step is done, shows the picture that the model expected at that step.

    Latents under way are mostly noise; what the model takes the finished ones to be is a picture from the first step.
    Where a safety checker will judge the result, previews are coarse, since it has not judged them.
    """
    scheduler, step = pipeline.scheduler, pipeline.scheduler.step
    seen: list[Tensor] = []

    @functools.wraps(step)
    def recorded(output: Tensor, timestep: Any, sample: Tensor, *values: Any, **named: Any) -> Any:
        seen[:] = [output, torch.as_tensor(timestep), sample]
        return step(output, timestep, sample, *values, **named)

    scheduler.step = recorded
    try:
        yield lambda: _picture(pipeline, clean_latents(scheduler, *seen))
    finally:
        del scheduler.step


def clean_latents(
    scheduler: Any, output: Float[Tensor, "*latents"], timestep: Shaped[Tensor, ""], sample: Float[Tensor, "*latents"]
) -> Float[Tensor, "*latents"]:
    """The finished latents, as the model's output at one step implies them."""
    if not hasattr(scheduler, "alphas_cumprod"):  # a flow (arXiv 2210.02747): the output is noise minus latents
        return sample - output * (timestep / scheduler.config.num_train_timesteps)
    kept = scheduler.alphas_cumprod[int(timestep)]
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    if scheduler.config.prediction_type == "v_prediction":  # arXiv 2202.00512
        return signal * sample - noise * output
    return (sample - noise * output) / signal


def linear_map(vae: Any) -> Float[Tensor, "inputs 3"]:
    """Weights that turn each latent of a VAE, and a 1 for the bias, straight into a pixel from -1 to 1.

    A VAE's latents are nearly linear in colour. The weights are fitted once on smooth random pictures that the VAE
    encodes, and stay with it as long as it is in memory.
    """
    if not hasattr(vae, _MAP):
        noise = torch.rand(8, vae.config.in_channels, 4, 4, generator=torch.Generator().manual_seed(0))
        pictures = (functional.interpolate(noise, scale_factor=16, mode="bicubic") * 2 - 1).clamp(-1, 1)
        latents = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode().float()
        pixels = functional.adaptive_avg_pool2d(pictures, latents.shape[-2:]).to(latents.device)
        ridge = 1e-3 * torch.eye(latents.shape[1] + 1, device=latents.device)
        x, y = _with_bias(latents), pixels.movedim(1, -1).flatten(0, 2)
        vae.register_buffer(_MAP, torch.linalg.solve(x.T @ x / len(x) + ridge, x.T @ y / len(x)), persistent=False)
    return getattr(vae, _MAP)


def _picture(pipeline: Any, latents: Tensor) -> Image.Image:
    vae = pipeline.vae
    latents = _as_the_vae_reads_them(pipeline, latents)
    if sum(parameter.numel() for parameter in vae.parameters()) <= SMALL_VAE:
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0][0].float().movedim(0, -1)
    else:
        pixels = (_with_bias(latents[:1].float()) @ linear_map(vae)).view(*latents.shape[-2:], 3)
    picture = Image.fromarray(((pixels.cpu() + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8).numpy())
    if getattr(pipeline, "safety_checker", None) is not None:
        picture.thumbnail((COARSE, COARSE))
    return picture


def _as_the_vae_reads_them(pipeline: Any, latents: Tensor) -> Tensor:
    config = pipeline.vae.config
    if latents.ndim == 3:  # FLUX.2 packs patches of 2x2 latents, whitened, into a sequence: rows of a square
        side = round(latents.shape[1] ** 0.5)
        latents = latents.movedim(1, -1).unflatten(-1, (side, side))
        whitening = pipeline.vae.bn
        spread = (whitening.running_var + config.batch_norm_eps).sqrt()
        latents = latents * spread.view(1, -1, 1, 1) + whitening.running_mean.view(1, -1, 1, 1)
        return pipeline._unpatchify_latents(latents)
    return latents / config.scaling_factor


def _with_bias(latents: Tensor) -> Tensor:
    """(images, channels, height, width) to (pixels, channels + 1)."""
    rows = latents.movedim(1, -1).flatten(0, 2)
    return torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)

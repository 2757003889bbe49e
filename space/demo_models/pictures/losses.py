"""How the text-to-image model learns: the losses of its VAE and of its UNet, and the latents between the two."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import CLIPTokenizer

from jax_models.output import write_bytes
from space.demo_models.pictures.parts import training_noise
from space.demo_models.pictures.wardrobe import BLACK_SHARE, PALETTE, balanced_colours, tint, write_prompt
from space.demo_models.training import Plan

KL_WEIGHT = 1e-3
EMPTY_PROMPTS = 0.1  # for classifier-free guidance (arXiv 2207.12598)
SNR_CAP = 5.0  # min-SNR weighting (arXiv 2303.09556)
ENCODE_BATCH = 250


@dataclass(frozen=True)
class Pictures:
    """Grey garments to be painted.

    Attributes:
        grey: uint8, 32x32.
        garments: their classes.
    """

    grey: UInt8[np.ndarray, "n 32 32"]
    garments: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Painted:
    """Latents of painted garments, with what their prompts must say; one row per picture."""

    latents: Float[Tensor, "n c h w"]
    garments: Int64[np.ndarray, " n"]
    colours: Int64[np.ndarray, " n"]
    black: Bool[np.ndarray, " n"]

    def prompt(self, row: int, rng: np.random.Generator) -> str:
        """One of many prompts for this picture."""
        background = "black" if self.black[row] else "white"
        garment, colour = int(self.garments[row]), int(self.colours[row])
        return write_prompt(rng, garment=garment, colour=colour, background=background)

    def save(self, path: Path) -> None:
        """Writes a safetensors file.

        Raises:
            RunError: it could not be written.
        """
        columns = {name: torch.from_numpy(getattr(self, name)) for name in ("garments", "colours", "black")}
        write_bytes(path, save({"latents": self.latents, **columns}))

    @classmethod
    def load(cls, path: Path) -> "Painted":
        """What `save` wrote."""
        tensors = load_file(path)
        return cls(tensors["latents"], *(tensors[name].numpy() for name in ("garments", "colours", "black")))


def generator_for(seed: int, step: int) -> np.random.Generator:
    """All that a step draws comes from here: nothing needs saving for a run to go on."""
    return np.random.default_rng((seed, step))


def paint(
    pictures: Pictures,
    *,
    indices: Int64[np.ndarray, " n"],
    colours: Int64[np.ndarray, " n"],
    black: Bool[np.ndarray, " n"],
) -> Float32[Tensor, "n 3 32 32"]:
    """Pictures as the VAE takes them, from -1 to 1."""
    images = tint(pictures.grey[indices], colours=PALETTE[colours], backgrounds=1 - black.astype(np.float32))
    return torch.from_numpy(images).permute(0, 3, 1, 2).mul(2).sub(1)


def vae_loss(vae: Any, pictures: Pictures, *, plan: Plan, half: bool) -> Callable[[int], Float[Tensor, ""]]:
    """The loss of a step of the VAE: absolute error of the pixels, and a light pull of the latents to a normal law."""

    def loss_at(step: int) -> Float[Tensor, ""]:
        rng = generator_for(plan.seed, step)
        indices = rng.integers(len(pictures.grey), size=plan.batch_size)
        colours = rng.integers(len(PALETTE), size=plan.batch_size)
        black = rng.random(plan.batch_size) < BLACK_SHARE
        images = paint(pictures, indices=indices, colours=colours, black=black)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            posterior = vae.encode(images).latent_dist
            mean, std = posterior.mean.float(), posterior.std.float()
            noise = torch.from_numpy(rng.standard_normal(mean.shape, np.float32))
            decoded = vae.decode(mean + std * noise).sample
        kl = 0.5 * (mean.square() + std.square() - 1) - std.log()
        return (decoded.float() - images).abs().mean() + KL_WEIGHT * kl.mean()

    return loss_at


@torch.inference_mode()
def encode_all(vae: Any, pictures: Pictures, *, seed: int, half: bool, tints: int) -> Painted:
    """Every garment in several colours, as latents."""
    rng = np.random.default_rng((seed, 1))
    parts, colours, black = [], [], []
    for _ in range(tints):
        tinted = balanced_colours(pictures.garments, rng)
        dark = rng.random(len(tinted)) < BLACK_SHARE
        for start in range(0, len(tinted), ENCODE_BATCH):
            rows = np.arange(start, min(start + ENCODE_BATCH, len(tinted)))
            images = paint(pictures, indices=rows, colours=tinted[rows], black=dark[rows])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                parts.append(vae.encode(images).latent_dist.mean.to(torch.float16).contiguous())
        colours.append(tinted)
        black.append(dark)
    return Painted(
        torch.cat(parts),
        np.tile(pictures.garments, tints),
        np.concatenate(colours),
        np.concatenate(black),
    )


@torch.no_grad()
def whiten(vae: Any, painted: Painted) -> Painted:
    """Gives every latent channel mean 0 and deviation 1, by changing the VAE's 1x1 convolutions and the latents alike.

    Stable Diffusion knows one scale for all channels and no shift; held in the weights, each channel has its own.
    """
    latents = painted.latents.float()
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    vae.quant_conv.weight[:channels] /= std[:, None, None, None]
    vae.quant_conv.bias[:channels] = (vae.quant_conv.bias[:channels] - mean) / std
    vae.quant_conv.bias[channels:] -= 2 * std.log()
    vae.post_quant_conv.bias += (vae.post_quant_conv.weight[:, :, 0, 0] * mean).sum(1)
    vae.post_quant_conv.weight *= std[None, :, None, None]
    whitened = (latents - mean[None, :, None, None]) / std[None, :, None, None]
    return Painted(whitened.to(torch.float16), painted.garments, painted.colours, painted.black)


def unet_loss(
    unet: nn.Module, text_encoder: nn.Module, *, tokenizer: CLIPTokenizer, painted: Painted, plan: Plan, half: bool
) -> Callable[[int], Float[Tensor, ""]]:
    """The loss of a step of UNet and text encoder: the squared error of the velocity, weighted by min-SNR."""
    schedule = training_noise()
    signal = schedule.alphas_cumprod
    weights = (signal / (1 - signal)).clamp(max=SNR_CAP) / (signal / (1 - signal) + 1)

    def loss_at(step: int) -> Float[Tensor, ""]:
        rng = generator_for(plan.seed, step)
        rows = torch.from_numpy(rng.integers(len(painted.latents), size=plan.batch_size))
        clean = painted.latents[rows].float()
        noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
        times = torch.from_numpy(rng.integers(schedule.config["num_train_timesteps"], size=plan.batch_size))
        prompts = ["" if rng.random() < EMPTY_PROMPTS else painted.prompt(row, rng) for row in rows.tolist()]
        tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        noisy = schedule.add_noise(clean, noise, times)
        velocity = schedule.get_velocity(clean, noise, times)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            states = text_encoder(tokens).last_hidden_state
            guess = unet(noisy, times, states, return_dict=False)[0]
        errors = (guess.float() - velocity).square().mean((1, 2, 3))
        return (weights[times] * errors).mean()

    return loss_at


@torch.inference_mode()
def reconstruction_error(vae: Any, pictures: Pictures, *, seed: int = 0) -> float:
    """Mean absolute error of pixels (from 0 to 1) after encoding and decoding, over all these garments once."""
    rng = np.random.default_rng((seed, 2))
    count, total = len(pictures.grey), 0.0
    colours, black = rng.integers(len(PALETTE), size=count), rng.random(count) < BLACK_SHARE
    for start in range(0, count, ENCODE_BATCH):
        rows = np.arange(start, min(start + ENCODE_BATCH, count))
        images = paint(pictures, indices=rows, colours=colours[rows], black=black[rows])
        decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
        total += (decoded - images).abs().mean((1, 2, 3)).sum().item() / 2
    return total / count

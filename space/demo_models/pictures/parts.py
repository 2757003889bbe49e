"""The parts of the offline text-to-image model, untrained: sizes that a CPU trains in an hour and 10 MB holds.

Rombach, Blattmann, Lorenz, Esser, Ommer. High-Resolution Image Synthesis with Latent Diffusion Models, 2022
(arXiv 2112.10752). Differences from the paper: 32x32 pixels, 8x8 latents of 8 channels; a text encoder of two layers
that learns together with the UNet; the UNet predicts velocity (arXiv 2202.00512) on a cosine schedule (2102.09672),
which ends in pure noise, so that a white or black background does not leak from the training noise (2305.08891).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from space.demo_models.pictures.wardrobe import SIZE, known_words

START, END = "<|startoftext|>", "<|endoftext|>"
NOISE_SCHEDULE: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


@dataclass(frozen=True)
class Sizes:
    """Widths of the parts; the defaults are the shipped model's (4.2 million parameters)."""

    vae_channels: tuple[int, ...] = (32, 64, 64)
    latent_channels: int = 8
    unet_channels: tuple[int, ...] = (64, 128)
    head_size: int = 32
    text_width: int = 64
    text_layers: int = 2
    prompt_tokens: int = 24


def make_vae(sizes: Sizes) -> Any:
    """Pixels to latents at a quarter of the width and height, and back."""
    stages = len(sizes.vae_channels)
    vae: Any = AutoencoderKL.from_config(
        {
            "down_block_types": ("DownEncoderBlock2D",) * stages,
            "up_block_types": ("UpDecoderBlock2D",) * stages,
            "block_out_channels": sizes.vae_channels,
            "latent_channels": sizes.latent_channels,
            "norm_num_groups": 8,
            "sample_size": SIZE,
            "scaling_factor": 1.0,  # `whiten` puts the scale into the weights
        }
    )
    vae.set_attn_processor(AttnProcessor())
    return vae


def make_unet(sizes: Sizes) -> Any:
    """The denoiser of latents; it attends to the prompt at full latent size and in its middle."""
    channels, plain = sizes.unet_channels, len(sizes.unet_channels) - 1
    unet: Any = UNet2DConditionModel.from_config(
        {
            "sample_size": SIZE >> (len(sizes.vae_channels) - 1),
            "in_channels": sizes.latent_channels,
            "out_channels": sizes.latent_channels,
            "layers_per_block": 1,
            "block_out_channels": channels,
            "down_block_types": ("CrossAttnDownBlock2D", *["DownBlock2D"] * plain),
            "up_block_types": (*["UpBlock2D"] * plain, "CrossAttnUpBlock2D"),
            "cross_attention_dim": sizes.text_width,
            # The number of heads, whatever diffusers calls it.
            "attention_head_dim": tuple(max(1, width // sizes.head_size) for width in channels),
            "norm_num_groups": 16,
        }
    )
    # On a CPU plain attention over 64 positions trains 1.4 times as fast as PyTorch's fused kernel in bfloat16.
    unet.set_attn_processor(AttnProcessor())
    return unet


def make_tokenizer(sizes: Sizes) -> CLIPTokenizer:
    """A CLIP tokenizer in which each word of the prompts is one token and any other text is letters."""
    return build_tokenizer(known_words(), longest=sizes.prompt_tokens)


def build_tokenizer(words: Sequence[str], *, longest: int) -> CLIPTokenizer:
    """A CLIP tokenizer learnt from words: byte pairs are merged until every word is whole.

    The trainer of `tokenizers` numbers its tokens anew in each process, which would part weights from tokenizer when a
    run goes on in another one; here equal counts are settled by the smaller pair of numbers.
    """
    characters = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
    vocabulary = {
        token: number for number, token in enumerate([START, END, *characters, *(f"{c}</w>" for c in characters)])
    }
    spellings = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for spelling in spellings for pair in pairwise(spelling)):
        best = min(pairs, key=lambda pair: (-pairs[pair], vocabulary[pair[0]], vocabulary[pair[1]]))
        spellings = [_merge(spelling, best) for spelling in spellings]
        vocabulary.setdefault("".join(best), len(vocabulary))
        merges.append(best)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=longest)


def make_text_encoder(sizes: Sizes, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A small CLIP text encoder over the tokenizer's vocabulary."""
    start, end = (tokenizer.get_vocab()[token] for token in (START, END))
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.text_width,
            intermediate_size=4 * sizes.text_width,
            projection_dim=sizes.text_width,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=max(1, sizes.text_width // 16),
            max_position_embeddings=sizes.prompt_tokens,
            bos_token_id=start,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def training_noise() -> Any:
    """The noise schedule that the UNet learns on: 1,000 steps."""
    return DDPMScheduler.from_config(NOISE_SCHEDULE)


def sampler() -> Any:
    """DPM-Solver++ (arXiv 2211.01095) on the same schedule: 20 steps are enough."""
    settings = {"timestep_spacing": "trailing", "lambda_min_clipped": -5.1, "steps_offset": 1}
    return DPMSolverMultistepScheduler.from_config(NOISE_SCHEDULE | settings)


def _merge(spelling: list[str], pair: tuple[str, str]) -> list[str]:
    merged, rest = [], spelling
    while rest:
        length = 2 if tuple(rest[:2]) == pair else 1
        merged.append("".join(rest[:length]))
        rest = rest[length:]
    return merged

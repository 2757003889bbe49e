"""Tiny diffusion pipelines with random weights: the real classes, 0.1 s to build."""

import diffusers
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import Tokenizer, models, pre_tokenizers

from space.limits import RateLimit
from space.models.catalog import MODELS
from space.models.choosing import Choice, Chooser
from space.models.store import Loaded, ModelStore
from space.serving import Space

SIZE = 32


def vae(channels=8, latent_channels=4):
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(channels, channels),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=SIZE,
    ).eval()


def stable_diffusion(scheduler=None, safety_checker=None, feature_extractor=None):
    """A Stable Diffusion that paints 32 x 32 pixels."""
    torch.manual_seed(0)
    letters = [f"{letter}{end}" for letter in "abcdefghijklmnopqrstuvwxyz" for end in ("", "</w>")]
    words = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = transformers.CLIPTokenizer(vocab=words, merges=[], model_max_length=16)
    text = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, eos_token_id=words["<|endoftext|>"], pad_token_id=words["<|endoftext|>"],
        bos_token_id=words["<|startoftext|>"],
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIZE // 2, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=transformers.CLIPTextModel(text).eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler or diffusers.DPMSolverMultistepScheduler(steps_offset=1),
        safety_checker=safety_checker,
        feature_extractor=feature_extractor,
        requires_safety_checker=safety_checker is not None,
    )


def strict_stable_diffusion():
    """One with a real safety checker that finds something in every image: all its thresholds lie below any likeness."""
    config = transformers.CLIPConfig(
        projection_dim=8,
        text_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8},
        vision_config={
            "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8,
            "image_size": SIZE, "patch_size": 16,
        },
    )  # fmt: skip
    checker = StableDiffusionSafetyChecker(config).eval()
    checker.concept_embeds_weights.data.fill_(-2.0)
    side = {"height": SIZE, "width": SIZE}
    extractor = transformers.CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=side)
    return stable_diffusion(safety_checker=checker, feature_extractor=extractor)


def flux(latent_channels=4):
    """A FLUX.2 klein that paints 32 x 32 pixels."""
    torch.manual_seed(0)
    backend = Tokenizer(
        models.WordLevel({"<|endoftext|>": 0, "a": 1, "red": 2, "sneaker": 3}, unk_token="<|endoftext|>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|endoftext|>", unk_token="<|endoftext|>",
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )  # fmt: skip
    qwen = transformers.Qwen3Config(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=28, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=4 * latent_channels, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=1, joint_attention_dim=24, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), latent_channels=latent_channels, norm_num_groups=4, sample_size=SIZE,
    )  # fmt: skip
    pipeline = diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=decoder.eval(),
        text_encoder=transformers.Qwen3ForCausalLM(qwen).eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
        is_distilled=True,
    )
    pipeline.default_sample_size = SIZE // 2
    return pipeline


def space_with(pipeline, folder, key="wardrobe"):
    """A Space whose text-to-image model is `pipeline`, offline under the name of `key`."""
    mode = "offline" if MODELS[key].offline else "hub"
    chooser = Chooser(mode, cached=lambda spec: None, probe=lambda: False)
    store = ModelStore(chooser, load=lambda choice: Loaded(choice, pipeline, None, 1, folder), budget=1)
    return Space(store, RateLimit(0))


def choice(key):
    return Choice(MODELS[key], "picked")

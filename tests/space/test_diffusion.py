"""One image from a pipeline: repeated by its seed, watched, stopped within a step, blocked without a black square."""

import time

import diffusers
import numpy as np
import pytest
import tiny_diffusion
import torch
from torch.nn import functional

from space.folders import WEIGHTS
from space.images.diffusion import denoise, revision_of, takes, unread_tokens
from space.images.previews import clean_latents, linear_map, previews
from space.images.recipes import Recipe
from space.jobs import Job, Stopped

# DPM-Solver hands PyTorch tensors to NumPy in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WARDROBE = WEIGHTS / "text_to_image"
RECIPE = Recipe("a red sneaker", "", 6, 3.0, 32, 7, "wardrobe")
PIPELINES = {
    "DPM-Solver": tiny_diffusion.stable_diffusion,
    "PNDM": lambda: tiny_diffusion.stable_diffusion(diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1)),
    "FLUX.2": tiny_diffusion.flux,
}


def job(seconds=60.0):
    return Job(time.monotonic() + seconds)


@pytest.fixture(scope="module", params=PIPELINES)
def pipeline(request):
    return PIPELINES[request.param]()


def paint(pipeline, recipe=RECIPE, tell=lambda step: None, preview_seconds=60.0):
    image = denoise(pipeline, recipe, job=job(), tell=tell, preview_seconds=preview_seconds)
    assert image is not None
    return np.asarray(image)


def test_the_same_seed_paints_the_same_image_bit_for_bit(pipeline):
    other = Recipe("a red sneaker", "", 6, 3.0, 32, 8, "wardrobe")
    first = paint(pipeline)
    assert (paint(pipeline, other) != first).any()
    assert (paint(pipeline) == first).all()


def test_previews_do_not_change_the_image(pipeline):
    assert (paint(pipeline, preview_seconds=0) == paint(pipeline)).all()


def test_every_step_is_told_and_previews_as_often_as_asked(pipeline):
    often, seldom = [], []
    paint(pipeline, tell=often.append, preview_seconds=0)
    paint(pipeline, tell=seldom.append, preview_seconds=60)
    assert [step.done for step in often] == list(range(1, often[-1].steps + 1))
    assert all(step.preview is not None and step.preview.size == (32, 32) for step in often)
    assert sum(step.preview is not None for step in seldom) == 1


def test_the_last_preview_is_the_image(pipeline):
    steps = []
    image = paint(pipeline, tell=steps.append, preview_seconds=0).astype(int)
    assert abs(np.asarray(steps[-1].preview) - image).mean() < 2


def test_a_stopped_job_ends_in_the_middle_of_a_step(pipeline):
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    layers = [layer for layer in network.modules() if not any(layer.children())]
    stopped, ran = job(), []

    def stop(layer, *_):
        ran.append(layer)
        stopped._stop.set()

    watched = [layer.register_forward_hook(stop) for layer in layers]
    with pytest.raises(Stopped):
        denoise(pipeline, RECIPE, job=stopped, tell=lambda step: None)
    for hook in watched:
        hook.remove()
    assert len(ran) == 1


def test_nothing_stays_on_the_pipeline_after_a_stop(pipeline):
    before = paint(pipeline)
    late = job(seconds=-1)
    with pytest.raises(Stopped):
        denoise(pipeline, RECIPE, job=late, tell=lambda step: None)
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert not any(layer._forward_pre_hooks for part in parts for layer in part.modules())
    assert "step" not in vars(pipeline.scheduler)
    assert (paint(pipeline) == before).all()


def test_a_stop_between_steps_ends_within_half_a_second():
    pipeline, stopped, told = tiny_diffusion.stable_diffusion(), job(), []

    def tell(step):
        told.append(step)
        if step.done == 3:
            stopped._stop.set()
            told.append(time.monotonic())

    recipe = Recipe("a", "", 100, 3.0, 32, 7, "wardrobe")
    with pytest.raises(Stopped):
        denoise(pipeline, recipe, job=stopped, tell=tell)
    assert time.monotonic() - told[-1] < 0.5
    assert len(told) == 4


def test_a_blocked_image_is_none_and_previews_before_it_are_coarse():
    pipeline, steps = tiny_diffusion.strict_stable_diffusion(), []
    recipe = Recipe("a red sneaker", "", 3, 3.0, 64, 7, "wardrobe")
    assert denoise(pipeline, recipe, job=job(), tell=steps.append, preview_seconds=0) is None
    assert {step.preview.size for step in steps} == {(32, 32)}


def test_the_negative_prompt_and_guidance_change_the_image():
    pipeline = tiny_diffusion.stable_diffusion()
    recipes = [
        RECIPE,
        Recipe("a red sneaker", "", 6, 9.0, 32, 7, "wardrobe"),
        Recipe("a red sneaker", "blue", 6, 3.0, 32, 7, "wardrobe"),
    ]
    assert len({paint(pipeline, recipe).tobytes() for recipe in recipes}) == 3


def test_only_known_arguments_are_passed():
    assert takes(tiny_diffusion.stable_diffusion(), "negative_prompt")
    assert not takes(tiny_diffusion.flux(), "negative_prompt")


def test_tokens_beyond_the_text_encoder_are_counted():
    pipeline = tiny_diffusion.stable_diffusion()
    assert unread_tokens(pipeline, "a") == 0
    assert unread_tokens(pipeline, "abcdefghijklmnopqrst") == 20 + 2 - 16


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_clean_latents_undo_the_noise(kind):
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type=kind, steps_offset=1)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    time_ = torch.tensor(500)
    kept = scheduler.alphas_cumprod[time_]
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    output = noise if kind == "epsilon" else kept.sqrt() * noise - (1 - kept).sqrt() * clean
    assert torch.allclose(clean_latents(scheduler, output, time_, noisy), clean, atol=1e-5)


def test_clean_latents_undo_the_noise_of_a_flow():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    clean, noise = torch.randn(2, 1, 64, 16, generator=torch.Generator().manual_seed(0))
    noisy = 0.7 * clean + 0.3 * noise
    assert torch.allclose(clean_latents(scheduler, noise - clean, torch.tensor(300.0), noisy), clean, atol=1e-5)


@pytest.mark.skipif(not WARDROBE.is_dir(), reason="the offline model is not part of this checkout")
def test_a_linear_map_shows_about_what_the_vae_decodes():
    vae = diffusers.AutoencoderKL.from_pretrained(
        WARDROBE / "vae", dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    pictures = torch.ones(8, 3, 32, 32)  # what this VAE knows: one colour on white
    pictures[:, :, 8:24, 6:26] = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        latents = vae.encode(pictures * 2 - 1).latent_dist.mode()
        decoded = functional.adaptive_avg_pool2d(vae.decode(latents).sample, latents.shape[-2:])
        weights = linear_map(vae)
        guess = torch.einsum("bchw,cr->brhw", latents, weights[:-1]) + weights[-1].view(1, 3, 1, 1)
    assert np.corrcoef(decoded.flatten(), guess.flatten())[0, 1] > 0.7
    assert linear_map(vae) is weights
    assert "latent_to_rgb" not in vae.state_dict()


@pytest.mark.parametrize("make", [tiny_diffusion.stable_diffusion, tiny_diffusion.flux])
def test_a_large_vae_is_shown_by_its_linear_map(make, monkeypatch):
    monkeypatch.setattr("space.images.previews.SMALL_VAE", 0)
    steps = []
    paint(make(), tell=steps.append, preview_seconds=0)
    assert {step.preview.size for step in steps} == {(16, 16)}


def test_previews_leave_the_scheduler_as_it_was():
    pipeline = tiny_diffusion.stable_diffusion()
    with previews(pipeline):
        assert "step" in vars(pipeline.scheduler)
    assert "step" not in vars(pipeline.scheduler)


def test_the_revision_is_the_commit_or_a_hash_of_the_weights(tmp_path):
    commit = tmp_path / "snapshots" / ("0123456789" * 4)
    commit.mkdir(parents=True)
    assert revision_of(commit) == "0123456789" * 4
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = revision_of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert len(first) == 12
    assert revision_of(tmp_path) != first

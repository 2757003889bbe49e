"""The recipe of the text-to-image model, with tiny nets and a few steps; and the pictures of the shipped weights."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")
import torch
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from jax_models.errors import UsageError
from space.demo_models.judge_images import contact_sheet, load_pipeline, paint_requests
from space.demo_models.pictures.losses import Painted, Pictures, whiten
from space.demo_models.pictures.parts import Sizes, make_tokenizer, make_vae
from space.demo_models.pictures.seeing import colours_of
from space.demo_models.pictures.wardrobe import SIZE, evaluation_requests, known_words
from space.demo_models.text_to_image import Settings, main, make, plan_of
from space.demo_models.training import Progress, train

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers on NumPy 2

SHIPPED = Path(__file__).parents[2] / "space" / "weights" / "text_to_image"
TINY = Sizes(
    vae_channels=(8, 8, 8), latent_channels=4, unet_channels=(16, 16), head_size=8, text_width=16, text_layers=1
)
PLAN = replace(plan_of(4, learning_rate=1e-3, batch_size=4, seed=0), checkpoint_every=2)
SETTINGS = Settings(
    vae=PLAN,
    unet=PLAN,
    sizes=TINY,
    tints=1,
)


class Killed(Exception):
    """Stands for a kill."""


def pictures(count: int = 12) -> Pictures:
    rng = np.random.default_rng(0)
    return Pictures(rng.integers(0, 256, size=(count, SIZE, SIZE), dtype=np.uint8), np.arange(count) % 10)


def run(out: Path, *, killed_in: str | None = None) -> Path:
    """Trains in `out`; with `killed_in`, is killed after two of the four steps of that part."""
    out.mkdir(exist_ok=True)

    def report(part: str, progress: Progress) -> None:
        if (part, progress.step) == (killed_in, 2):
            raise Killed

    return make(pictures(), pictures(4), settings=SETTINGS, out=out, report=report)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("part", ["VAE", "UNet"])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(part, trained, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "out", killed_in=part)
    resumed = run(tmp_path / "out")
    for name in ("vae", "unet", "text_encoder"):
        (file,) = (trained / name).glob("*.safetensors")
        whole, again = load_file(file), load_file(resumed / name / file.name)
        assert whole.keys() == again.keys()
        assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_the_pipeline_loads_and_makes_a_picture_of_its_own_size(trained):
    pipeline = load_pipeline(trained)
    image = pipeline("a red sneaker", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (SIZE, SIZE)
    assert pipeline.safety_checker is None


def test_weights_are_small_safetensors_and_nothing_else(trained):
    networks = {file.parent.name: load_file(file) for file in trained.rglob("*.safetensors")}
    types = {name: {tensor.dtype for tensor in tensors.values()} for name, tensors in networks.items()}
    assert types == {"vae": {torch.float16}, "unet": {torch.float16}, "text_encoder": {torch.float32}}
    assert not [*trained.rglob("*.bin"), *trained.rglob("*.pt")]


def test_the_card_and_the_metrics_say_how_it_was_trained(trained):
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["unet"]["steps"] == 4
    assert 0 < metrics["training"]["vae_error"] < 1
    assert "apache-2.0" in (trained / "README.md").read_text(encoding="utf-8")


def test_a_folder_of_other_settings_is_refused(trained):
    other = replace(SETTINGS, vae=replace(PLAN, steps=5))
    with pytest.raises(UsageError, match="other settings"):
        make(pictures(), pictures(4), settings=other, out=trained.parent, report=lambda *_: None)


def test_a_wrong_option_is_refused_before_any_work():
    with pytest.raises(UsageError, match="--help"):
        main(["--steps", "0"])


def test_a_folder_without_a_pipeline_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"model_index\.json"):
        load_pipeline(tmp_path)


def test_pictures_are_the_same_from_the_same_seeds(trained):
    pipeline, requests = load_pipeline(trained), evaluation_requests()[:2]
    first, again = (paint_requests(pipeline, requests, steps=2, guidance=2.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, SIZE, SIZE, 3)


def test_whitened_latents_have_unit_channels_and_decode_to_the_same_pictures():
    torch.manual_seed(0)
    vae = make_vae(TINY).eval()
    images = torch.rand(32, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mean
        decoded = vae.decode(latents).sample
        columns = (np.zeros(32, np.int64), np.zeros(32, np.int64), np.zeros(32, bool))
        painted = whiten(vae, Painted(latents, *columns))
        again = vae.encode(images).latent_dist.mean
        redecoded = vae.decode(again).sample
    torch.testing.assert_close(again.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(again.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(painted.latents.float(), again, atol=5e-3, rtol=0)
    torch.testing.assert_close(redecoded, decoded, atol=1e-4, rtol=0)


def test_every_known_word_is_one_token_and_others_are_cut_in_pieces():
    tokenizer = make_tokenizer(Sizes())
    assert [word for word in known_words() if len(tokenizer.tokenize(word)) != 1] == []
    assert len(tokenizer.tokenize("zeppelin")) > 1
    assert len(tokenizer("a red sneaker " * 30, truncation=True).input_ids) == Sizes().prompt_tokens


def test_tokens_have_the_numbers_that_the_shipped_weights_learnt():
    shipped = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer", local_files_only=True)
    assert make_tokenizer(Sizes()).get_vocab() == shipped.get_vocab()
    assert (
        make_tokenizer(Sizes())("an old red t-shirt, wxyz").input_ids == shipped("an old red t-shirt, wxyz").input_ids
    )


def test_learning_ends_with_the_moving_average_of_the_weights(tmp_path):
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    plan = plan_of(50, learning_rate=0.1, batch_size=1, seed=0)
    steps, checkpoint = itertools.count(), tmp_path / "a.pt"
    train(layer, batches=steps, loss_of=lambda step: -layer.weight.sum(), plan=plan, checkpoint=checkpoint)
    last = torch.load(checkpoint, weights_only=True)["weights"]["weight"]
    assert 0 < layer.weight.item() < last.item()


def test_rate_warms_up_stays_and_falls_to_zero():
    plan = plan_of(10_000, learning_rate=1.0, batch_size=1, seed=0)
    assert plan.rate_at(0) < 0.01
    assert plan.rate_at(5000) == 1
    assert plan.rate_at(8500) == pytest.approx(0.5)
    assert 0 < plan.rate_at(9999) < 0.001


def test_contact_sheet_holds_the_pictures_in_order():
    pictures = np.zeros((4, 2, 2, 3))
    pictures[3] = 1
    sheet = np.asarray(contact_sheet(pictures, columns=2, scale=1))
    assert sheet.shape == (4, 4, 3)
    assert sheet[2:, 2:].min() == 255
    assert sheet.sum() == 4 * 3 * 255


@pytest.mark.slow
def test_shipped_weights_paint_the_colour_they_are_asked_for():
    requests = evaluation_requests()[::11]
    seen = colours_of(paint_requests(load_pipeline(SHIPPED), requests))
    assert (seen == np.array([request.colour for request in requests])).sum() >= 8


def test_shipped_files_are_small():
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files if file.suffix == ".safetensors") < 10e6
    assert (SHIPPED / "samples.png").stat().st_size < 300e3

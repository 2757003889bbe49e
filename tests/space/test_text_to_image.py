"""Text to image: seeds, batches, blocked images, settings inside pictures and out of them, the endpoint."""

import base64
import io

import gradio as gr
import pytest
import tiny_diffusion
from at_work import seconds_until, working
from gradio_client import Client
from PIL import Image

from space.images.painters import NATIVE, complete, recall
from space.images.painting import paint
from space.images.pictures import encode_png, read_texts
from space.images.recipes import MAX_SEED, OWN, Recipe, read_recipe, write_recipe
from space.limits import BadInput
from space.tasks.text_to_image import PAGE, _painter

# DPM-Solver hands PyTorch tensors to NumPy in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return tiny_diffusion.space_with(tiny_diffusion.stable_diffusion(), tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def hub_space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return tiny_diffusion.space_with(tiny_diffusion.strict_stable_diffusion(), folder, key="stable-diffusion-1.5")


def last(answers):
    *_, answer = answers
    return answer


def painted(space, images=1, **settings):
    recipe = Recipe(**{"prompt": "a red sneaker", "steps": 4, "seed": 5} | settings)
    return last(paint(space, recipe, images=images))


def test_an_image_of_a_batch_is_painted_again_by_its_seed_alone(space):
    batch = painted(space, images=4, seed=10)
    assert [one.recipe.seed for one in batch.painted] == [10, 11, 12, 13]
    assert len({one.png for one in batch.painted}) == 4
    for one in batch.painted:
        assert painted(space, seed=one.recipe.seed).painted[0].png == one.png


def test_the_settings_inside_a_picture_paint_it_again(space):
    first = painted(space, seed=-1, negative_prompt="blau – 青", guidance=2.5, steps=3).painted[0]
    recipe, _ = recall(space, first.png)
    assert recipe.seed >= 0
    assert last(paint(space, recipe)).painted[0].png == first.png


def test_random_seeds_differ_and_are_told(space):
    seeds = {painted(space, seed=-1, steps=1).painted[0].recipe.seed for _ in range(3)}
    assert len(seeds) == 3
    assert min(seeds) >= 0


def test_small_images_are_enlarged_and_say_so(space):
    png = painted(space).painted[0].png
    assert Image.open(io.BytesIO(png)).size == (256, 256)
    texts = read_texts(png)
    assert "Size: 32x32" in texts["parameters"]
    assert "Hires upscale: 8" in texts["parameters"]
    assert read_recipe(texts).size == 32


def test_what_is_left_open_is_the_models_own(space):
    recipe = painted(space, steps=0).painted[0].recipe
    own = NATIVE["wardrobe"]
    assert (recipe.steps, recipe.guidance, recipe.size) == (own.steps, own.guidance, 32)
    assert recipe.model == "wardrobe"


def test_progress_grows_and_an_image_appears_as_soon_as_it_is_done(space):
    answers = list(paint(space, Recipe("a red sneaker", steps=5, seed=1), images=2))
    done = [answer.done for answer in answers]
    assert done == sorted(done)
    assert done[-1] == answers[-1].steps == 10
    assert {len(answer.painted) for answer in answers} == {0, 1, 2}
    assert any(answer.preview is not None for answer in answers)
    assert answers[-1].finished
    assert answers[-1].preview is None
    assert answers[-1].seconds_left == 0


def test_a_blocked_image_is_reported_in_words_and_not_shown(hub_space):
    recipe = Recipe("a red sneaker", steps=1, seed=5)
    answer = last(paint(hub_space, recipe, images=2))
    assert answer.painted == ()
    assert [one.seed for one in answer.blocked] == [5, 6]
    assert all("safety checker" in one.reason for one in answer.blocked)
    assert answer.finished


def test_the_hub_model_paints_through_the_paths_of_a_real_one(tiny_space):
    answer = painted(tiny_space, steps=2)
    recipe = answer.painted[0].recipe
    assert (recipe.model, recipe.size, len(recipe.revision)) == ("stable-diffusion-1.5", 64, 40)


def test_flux_gets_no_negative_prompt_and_the_user_is_told(tmp_path):
    space = tiny_diffusion.space_with(tiny_diffusion.flux(), tmp_path, key="flux2-klein-4b")
    recipe = Recipe("a red sneaker", "blue", steps=1, seed=5, model="flux2-klein-4b")
    answer = last(paint(space, recipe))
    assert len(answer.painted) == 1
    assert answer.notes == ("This model takes no negative prompt; it was left out.",)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a red sneaker", ""),
        ("two Red  SNEAKERS!", ""),
        ("pink dresses", ""),
        ("a blue running shoe on black", ""),
        ("an astronaut riding a horse", "ten garments"),
        ("a bagpipe", "ten garments"),
        ("a sneaker", "ten colours"),
    ],
)
def test_the_offline_model_says_what_it_does_not_know(space, prompt, told):
    notes = " ".join(painted(space, prompt=prompt, steps=1).notes)
    assert told in notes
    assert ("knows" in notes) == bool(told)


def test_a_prompt_that_is_too_long_for_the_model_is_not_cut_in_silence(space):
    assert "were not read" in " ".join(painted(space, prompt="red sneaker " * 10, steps=1).notes)


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt": ""},
        {"prompt": "\u202e\x00"},
        {"prompt": "x" * 1_001},
        {"prompt": None},
        {"negative_prompt": "x" * 1_001},
        {"steps": 101},
        {"steps": 2.5},
        {"steps": float("nan")},
        {"guidance": float("inf")},
        {"guidance": -1},
        {"seed": MAX_SEED + 1},
        {"seed": "5"},
        {"size": 512},
        {"size": 33},
        {"images": 0},
        {"images": 5},
        {"images": 2, "seed": MAX_SEED},
        {"model": "../../etc/passwd"},
        {"model": "stable-diffusion-1.5"},
    ],
)
def test_settings_out_of_their_limits_are_refused(space, settings):
    with pytest.raises(BadInput):
        painted(space, **settings)


def test_a_size_that_the_model_does_not_paint_is_refused_with_those_it_does(space):
    with pytest.raises(BadInput, match="32 pixels, not 512"):
        complete(Recipe("a", size=512), tiny_diffusion.choice("wardrobe").spec)


def test_closing_ends_the_work_within_half_a_second(space):
    answers = paint(space, Recipe("a red sneaker", steps=100, seed=1), images=4)
    while not next(answers).done:
        pass
    answers.close()
    assert seconds_until(lambda: not working()) < 0.5
    assert len(painted(space, steps=1).painted) == 1  # the model is free again


def test_a_picture_of_a_model_that_is_not_here_gives_the_rest_of_its_settings(space):
    theirs = Recipe("a cat", "dog", 30, 7.0, 512, 99, "stable-diffusion-1.5", "f" * 40)
    png = encode_png(Image.open(io.BytesIO(painted(space, steps=1).painted[0].png)), write_recipe(theirs))
    recipe, sentence = recall(space, png)
    assert recipe == Recipe("a cat", "dog", 30, 7.0, 0, 99, "auto")
    assert "stable-diffusion-1.5" in sentence
    assert "512" in sentence


def test_a_picture_with_broken_settings_is_refused(space):
    png = painted(space, steps=1).painted[0].png
    with pytest.raises(BadInput, match="broken"):
        recall(space, encode_png(Image.open(io.BytesIO(png)), {OWN: "{"}))


def test_a_finished_image_is_written_once_while_the_next_one_is_painted(space, tmp_path):
    gallery = gr.Gallery()
    gallery.GRADIO_CACHE = str(tmp_path)
    written = set()
    for _ in _painter(space, gallery)(2, "a red sneaker", "", 8, 3.0, 0, 5, "auto"):
        files = list(tmp_path.rglob("*.png"))
        if len(files) == 1:
            written.add(files[0].stat().st_mtime_ns)
    assert len(list(tmp_path.rglob("*.png"))) == 2
    assert len(written) == 1


def test_reading_settings_out_of_a_picture_waits_for_no_computing_request(space):
    with gr.Blocks() as app:
        PAGE.build(space)
    lanes = {event.name: event.concurrency_id for event in app.fns.values()}
    assert lanes["show"] == "compute"
    assert lanes["read"] != "compute"


@pytest.fixture(scope="module")
def client(space):
    with gr.Blocks() as app:
        PAGE.build(space)
    app.queue().launch(prevent_thread_lock=True, quiet=True)
    client = Client(app.local_url, verbose=False)
    yield client
    client.close()
    app.close()


def test_the_endpoint_gives_pictures_as_data_urls(client, space):
    reply = client.predict("a red sneaker", steps=4, seed=10, images=2, api_name="/text_to_image")
    files = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in reply["images"]]
    assert files == [one.png for one in painted(space, images=2, seed=10).painted]
    assert (reply["model"], reply["seeds"], reply["blocked"], reply["progress"]) == ("wardrobe", [10, 11], [], 1.0)


def test_only_the_endpoint_is_public(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/text_to_image"]
    defaults = {p["parameter_name"]: p["parameter_default"] for p in named["/text_to_image"]["parameters"][1:]}
    assert defaults == {
        "negative_prompt": "", "steps": 0, "guidance": 0.0, "seed": -1, "images": 1, "size": 0, "model": "auto",
    }  # fmt: skip

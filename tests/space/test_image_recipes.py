"""How a picture was made: its limits, the texts it is kept in, and what is read out of foreign or broken ones."""

import json

import pytest

from space.images.recipes import COMMON, MAX_SEED, OWN, Recipe, read_recipe, write_recipe
from space.limits import BadInput

RECIPE = Recipe("a red sneaker", "blue", 20, 7.5, 512, 123, "stable-diffusion-1.5", "f" * 40)


def test_other_programs_find_the_settings_where_they_look():
    assert write_recipe(RECIPE)[COMMON] == (
        "a red sneaker\nNegative prompt: blue\n"
        "Steps: 20, CFG scale: 7.5, Seed: 123, Size: 512x512, Model hash: ffffffffffff, Model: stable-diffusion-1.5"
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "a red sneaker",
        "ein Schuh, 赤い靴 👟",
        "two\nlines",
        "Negative prompt: x\nSteps: 1, Seed: 2",
        '"quoted", {json}',
    ],
)
def test_a_recipe_comes_back_as_it_was(prompt):
    recipe = Recipe(prompt, prompt, 20, 7.5, 512, MAX_SEED, "wardrobe", "abc")
    assert read_recipe(write_recipe(recipe, enlarged=8)) == recipe


def test_the_common_text_alone_is_enough():
    common = {COMMON: write_recipe(RECIPE, enlarged=8)[COMMON]}
    assert read_recipe(common) == Recipe("a red sneaker", "blue", 20, 7.5, 512, 123, "stable-diffusion-1.5")


def test_a_text_of_another_program_is_understood():
    text = (
        "a cat, (masterpiece:1.2)\nin the rain\nNegative prompt: dog,\nblurry\n"
        "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6, Seed: 4294967295, Size: 512x768, "
        "Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Version: v1.10.1"
    )
    assert read_recipe({COMMON: text, "EXIF": "left out"}) == Recipe(
        "a cat, (masterpiece:1.2)\nin the rain", "dog,\nblurry", 30, 6.0, 0, 4294967295, "v1-5-pruned-emaonly"
    )


def test_a_prompt_without_settings_is_read():
    assert read_recipe({COMMON: "just a prompt"}) == Recipe("just a prompt")


OURS = {"prompt": "a", "steps": 5, "guidance": 2.0, "size": 32, "seed": 1, "model": "wardrobe"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        "[" * 5_000,
        '{"steps": 5}',
        json.dumps(OURS | {"prompt": ["a"]}),
        json.dumps(OURS | {"prompt": ""}),
        json.dumps(OURS | {"prompt": "x" * 1_001}),
        json.dumps(OURS | {"prompt": "x" * 50_000}),
        json.dumps(OURS | {"steps": -1}),
        json.dumps(OURS | {"steps": 1e300}),
        json.dumps(OURS | {"steps": True}),
        json.dumps(OURS | {"steps": "20"}),
        json.dumps(OURS | {"guidance": float("nan")}),
        json.dumps(OURS | {"guidance": float("inf")}),
        json.dumps(OURS | {"size": 10**9}),
        json.dumps(OURS | {"seed": 2**32}),
        json.dumps(OURS | {"seed": 10**400}),
        json.dumps(OURS | {"model": {"a": 1}}),
    ],
)
def test_broken_settings_are_refused_in_one_line(text):
    with pytest.raises(BadInput) as refused:
        read_recipe({OWN: text})
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 120


@pytest.mark.parametrize("line", ["Steps: many", "Steps: 20, Seed: 1e5", "Steps: 20, CFG scale: nan", "Steps: 999"])
def test_broken_settings_of_other_programs_are_refused(line):
    with pytest.raises(BadInput):
        read_recipe({COMMON: f"a cat\n{line}"})


def test_a_picture_without_settings_is_refused():
    with pytest.raises(BadInput, match="carries no settings"):
        read_recipe({"Software": "a camera"})


def test_controls_and_unknown_entries_are_left_out():
    text = json.dumps(OURS | {"prompt": "a\x00\u202ecat", "path": "/etc/passwd"})
    assert read_recipe({OWN: text}) == Recipe("acat", "", 5, 2.0, 32, 1, "wardrobe")

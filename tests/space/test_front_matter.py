"""The front matter of a Space: every mistake that Hugging Face would take without a word is named."""

import pytest

pytest.importorskip("gradio")

from packaging.specifiers import SpecifierSet

from space.publishing import front_matter
from space.publishing.staging import ROOT


def front(**changes):
    fields = front_matter.read((ROOT / "space" / "README.md").read_text(encoding="utf-8"))
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def front_problems(fields):
    return front_matter.problems(fields, folder=ROOT, gradio=SpecifierSet(">=6.31"))


def test_the_front_matter_of_the_space_is_right():
    assert front_problems(front()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": None}, "title is missing"),
        ({"sdk": "streamlit"}, "sdk is 'streamlit'; this is a Gradio app: sdk: gradio"),
        ({"sdk_version": "6.30.0"}, "sdk_version is 6.30.0, but requirements.txt asks for gradio>=6.31"),
        ({"sdk_version": ">=6.31"}, "sdk_version is '>=6.31'; it must be one exact version such as 6.31.0"),
        ({"sdk_version": "6.31"}, "sdk_version is '6.31'; it must be one exact release such as 6.31.0"),
        ({"python_version": 3.12}, 'python_version is 3.12, which YAML reads as no text; write it in quotes'),
        ({"python_version": "3.10"}, "python_version is '3.10'; the app runs on 3.11 and 3.12"),
        ({"short_description": "x" * 61}, "short_description has 61 characters; Hugging Face shows at most 60"),
        ({"emoji": ":-)"}, "emoji is ':-)'; it must be one emoji"),
        ({"colorFrom": "orange"}, "colorFrom is 'orange'; it must be one of red, yellow"),
        ({"app_file": "app.py"}, "app_file is 'app.py', and no such file is staged"),
        ({"app_file": "../app.py"}, "app_file is '../app.py', and no such file is staged"),
        ({"license": "Apache 2.0"}, "license is 'Apache 2.0'; it must be an identifier such as apache-2.0"),
        ({"tags": "jax"}, "tags must be a list of texts"),
        ({"models": ["gpt2"]}, "models has 'gpt2'; it must be OWNER/NAME"),
        ({"models": ["distilbert/distilgpt2"]}, "models lacks Falconsai/text_summarization"),
        ({"preload_from_hub": ["openai/gpt2"]}, "has openai/gpt2, which the catalogue does not offer"),
        (
            {"preload_from_hub": ["distilbert/distilgpt2 config.json,model.safetensors"]},
            "the model needs: distilbert/distilgpt2 config.json,model.safetensors,tokenizer_config.json,tokenizer.json",
        ),
        ({"colour": "red"}, "colour is no field that a Gradio Space knows"),
    ],
)  # fmt: skip
def test_each_mistake_in_the_front_matter_is_named(changes, problem):
    assert any(problem in line for line in front_problems(front(**changes)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("# A title\n", "no front matter"), ("---\na: [\n---\n", "no YAML"), ("---\n- a\n---\n", "without fields")],
)
def test_a_readme_without_fields_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        front_matter.read(text)

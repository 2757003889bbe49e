"""Models come into memory as they do in the app."""

import time

import pytest

pytest.importorskip("gradio")
pytest.importorskip("transformers")

from space.catalog import TASKS
from space.jobs import Job


@pytest.mark.parametrize("task", TASKS)
def test_the_default_hub_model_of_every_task_loads_from_the_cache(tiny_space, task):
    with tiny_space.store.use(task, job=Job(time.monotonic() + 60)) as loaded:
        assert loaded.spec.key == TASKS[task].hub[0]
        assert loaded.size > 0


def test_the_chat_model_has_a_template_and_the_sentiment_model_its_labels(tiny_space):
    job = Job(time.monotonic() + 60)
    with tiny_space.store.use("chat", job=job) as loaded:
        text = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
        )
        assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
        assert loaded.tokenizer(text).input_ids[0] == loaded.tokenizer.convert_tokens_to_ids("<|im_start|>")
    with tiny_space.store.use("sentiment", job=job) as loaded:
        assert loaded.model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


def test_the_image_model_makes_an_image_and_says_what_the_safety_checker_thought(tiny_space):
    with tiny_space.store.use("text_to_image", job=Job(time.monotonic() + 60)) as loaded:
        loaded.model.set_progress_bar_config(disable=True)
        result = loaded.model("a red sneaker", num_inference_steps=2)
    assert result.images[0].size == (64, 64)
    assert result.nsfw_content_detected == [False]

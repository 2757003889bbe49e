"""Models come into memory as they do in the app: from the hub's cache or the offline folder, safetensors only."""

import re
import shutil
import time

import pytest

pytest.importorskip("gradio")
pytest.importorskip("transformers")

import torch
from huggingface_hub import constants

from space.jobs import Job
from space.models import catalog, loading
from space.models.catalog import MODELS, TASKS
from space.models.choosing import Choice, NotReady
from space.models.cores import usable_cores
from space.models.hub import cached_folder
from space.models.loading import load


def some_job() -> Job:
    """A request with time enough."""
    return Job(time.monotonic() + 60)


def choice(key: str) -> Choice:
    """A model picked by name."""
    return Choice(MODELS[key], "picked")


@pytest.mark.parametrize("task", TASKS)
def test_the_default_hub_model_of_every_task_loads_from_the_cache(tiny_space, task):
    with tiny_space.store.use(task, job=some_job()) as loaded:
        assert loaded.spec.key == TASKS[task].hub[0]
        assert loaded.size > 0


@pytest.mark.parametrize(
    ("key", "context"),
    [("smollm2-360m", 2048), ("distilgpt2", 1024), ("t5-small-summary", 512), ("tinyroberta-squad2", 512)],
)
def test_a_model_knows_how_much_it_reads_at_once(tiny_models, key, context):
    loaded = load(choice(key))
    assert loaded.context == context


def test_a_roberta_whose_tokenizer_names_no_limit_reads_no_further_than_its_positions(tiny_models):
    loaded = load(choice("tinyroberta-squad2"))
    loaded.tokenizer.model_max_length = 10**30
    assert loaded.context == 512
    loaded.model(torch.ones(1, loaded.context, dtype=torch.long))


def test_the_offline_language_model_loads_from_the_models_folder(tiny_models):
    loaded = load(choice("smollm2-135m"))
    assert loaded.folder == tiny_models / "offline" / "smollm2-135m-instruct"
    assert not loaded.model.training


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft asks for it
@pytest.mark.parametrize(("key", "task"), [("minilm-sentiment", "sentiment"), ("minilm-qa", "question_answering")])
def test_the_offline_encoder_loads_with_the_adapter_of_its_task(tiny_models, tmp_path, monkeypatch, key, task):
    pytest.importorskip("peft")
    from tiny_models import build_adapters

    build_adapters(tmp_path, tiny_models / "offline" / "minilm-l6")
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    loaded = load(choice(key))
    assert loaded.folder == tmp_path / task
    assert not loaded.model.training
    logits = loaded.model(**loaded.tokenizer("What a dull film.", return_tensors="pt"))[0]
    assert torch.isfinite(logits).all()
    if task == "sentiment":
        assert loaded.model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


@pytest.mark.parametrize(
    ("key", "task"),
    [("minilm-sentiment", "sentiment"), ("minilm-qa", "question_answering"), ("wardrobe", "text_to_image")],
)
def test_missing_weights_of_our_own_name_the_command_that_makes_them(tiny_models, tmp_path, monkeypatch, key, task):
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    with pytest.raises(NotReady, match=rf"run: python -m space\.demo_models\.{task}"):
        load(choice(key))


def test_on_a_cpu_models_compute_in_float32_and_shared_weights_count_once(tiny_models):
    loaded = load(choice("smollm2-135m"))
    weights = {tensor.data_ptr(): tensor for tensor in loaded.model.parameters()}
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    buffers = sum(4 * tensor.numel() for tensor in loaded.model.buffers())
    assert loaded.size == sum(4 * tensor.numel() for tensor in weights.values()) + buffers


def test_the_chat_model_has_a_template_and_the_sentiment_model_its_labels(tiny_space):
    with tiny_space.store.use("chat", job=some_job()) as loaded:
        text = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
        )
        assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
        assert loaded.tokenizer(text).input_ids[0] == loaded.tokenizer.convert_tokens_to_ids("<|im_start|>")
    with tiny_space.store.use("sentiment", job=some_job()) as loaded:
        assert loaded.model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


@pytest.mark.parametrize(("threshold", "verdict"), [(1.0, [False]), (-1.0, [True])])
def test_the_image_model_keeps_its_safety_checker_and_says_what_it_thought(
    tiny_space, monkeypatch, capfd, threshold, verdict
):
    with tiny_space.store.use("text_to_image", job=some_job()) as loaded:
        pipeline = loaded.model
        monkeypatch.setattr(pipeline.safety_checker.concept_embeds_weights, "data", torch.full((17,), threshold))
        result = pipeline("a red sneaker", num_inference_steps=2)
    assert result.images[0].size == (64, 64)
    assert result.nsfw_content_detected == verdict
    assert (result.images[0].getextrema() == ((0, 0),) * 3) == verdict[0]
    assert "it/s" not in capfd.readouterr().err  # no progress bar in the server's log


def test_missing_models_say_what_to_type(tiny_models, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path))
    with pytest.raises(NotReady, match=r"not on this machine yet; run: python -m space\.demo_models"):
        load(choice("smollm2-135m"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotReady, match="not on this machine"):
        load(choice("distilgpt2"))


@pytest.fixture
def own(tiny_models, tmp_path, monkeypatch):
    """Base models and weights of our own that a test may damage, in `offline` and `weights`."""
    pytest.importorskip("peft")
    from tiny_models import build_adapters

    shutil.copytree(tiny_models / "offline", tmp_path / "offline")
    build_adapters(tmp_path / "weights", tmp_path / "offline" / "minilm-l6")
    shutil.copytree(cached_folder(MODELS["stable-diffusion-1.5"]), tmp_path / "weights" / "text_to_image")
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path / "offline"))
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path / "weights")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "file", "repair"),
    [
        ("smollm2-135m", "offline/smollm2-135m-instruct/model.safetensors", r"smollm2-135m-instruct .*demo_models$"),
        ("smollm2-135m", "offline/smollm2-135m-instruct/config.json", r"smollm2-135m-instruct .*demo_models$"),
        ("minilm-sentiment", "offline/minilm-l6/model.safetensors", r"Delete the folder minilm-l6 .*demo_models \("),
        ("minilm-sentiment", "offline/minilm-l6/config.json", r"Delete the folder minilm-l6 .*demo_models \("),
        (
            "minilm-qa",
            "weights/question_answering/adapter_model.safetensors",
            r"weights/question_answering from ",
        ),
        ("minilm-qa", "weights/question_answering/adapter_config.json", r"demo_models\.question_answering"),
        (
            "wardrobe",
            "weights/text_to_image/unet/diffusion_pytorch_model.safetensors",
            r"weights/text_to_image from ",
        ),
    ],
)
def test_damaged_files_are_said_to_be_and_how_they_become_whole(own, caplog, key, file, repair):
    path = own / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(NotReady, match="damaged") as refused:
        load(choice(key))
    assert re.search(repair, refused.value.message), refused.value.message
    assert "\n" not in refused.value.message
    assert str(own) not in refused.value.message
    assert f"{key} cannot be loaded" in caplog.text


def test_damaged_files_of_the_hub_are_named_by_their_repository(tiny_models, tmp_path, monkeypatch):
    spec = MODELS["distilgpt2"]
    here = cached_folder(spec)
    assert here is not None
    shutil.copytree(here, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(loading, "cached_folder", lambda spec: tmp_path / "model")
    with pytest.raises(NotReady, match=r"Delete the folder of distilbert/distilgpt2 in the hub's cache"):
        load(choice("distilgpt2"))


def test_pickled_weights_are_never_read(tiny_models, tmp_path, monkeypatch):
    folder = tmp_path / "smollm2-135m-instruct"
    shutil.copytree(tiny_models / "offline" / folder.name, folder)
    loaded = load(choice("smollm2-135m"))
    torch.save(loaded.model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path))
    with pytest.raises(NotReady):
        load(choice("smollm2-135m"))


def test_every_tiny_model_is_complete_in_the_cache(tiny_models):
    for spec in MODELS.values():
        if spec.repo and spec.key != "flux2-klein-4b":
            assert cached_folder(spec), spec.key


def test_quotas_of_control_groups_bound_the_cores(tmp_path):
    everything = usable_cores(tmp_path)
    assert everything >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == everything


def test_older_control_groups_count_too(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1


def test_quality_of_our_own_weights_is_what_their_training_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert catalog.headline("sentiment") == ""
    (tmp_path / "sentiment").mkdir()
    (tmp_path / "sentiment" / "metrics.json").write_text('{"headline": "82.6 % right"}')
    assert catalog.headline("sentiment") == "82.6 % right"


@pytest.mark.parametrize("task", TASKS)
def test_weights_that_are_shipped_say_how_good_they_are(task):
    if (catalog.WEIGHTS / task / "metrics.json").is_file():
        assert catalog.headline(task), f'space/weights/{task}/metrics.json needs a short text under "headline"'

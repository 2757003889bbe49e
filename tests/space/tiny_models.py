"""Tiny random models, built on the spot, laid out as the hub's cache under the real ids of the catalogue.

Architectures and files are those of the real repositories, so that loading takes the true way; only widths, depths and
vocabularies are small.
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase

from space.demo_models.adapters import adapt, describe_adapter, load_base, save_adapter
from space.models.catalog import MODELS

SENTENCES = (
    "The capital of France is Paris, and the river Seine runs through it.",
    "Once upon a time there was a small fox who lived near the old mill.",
    "I loved this film, it was warm, funny and wonderful.",
    "What a dull and terrible waste of an evening; I hated the food.",
    "The report says that prices rose by 3.5 percent between 2019 and 2021.",
    "A red sneaker, a blue dress, a green bag and a purple boot on white.",
    "Who wrote the letter? Anna wrote it in Rome, on the second of May.",
    "You are a helpful assistant. Please answer in one short sentence.",
)
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_hub_cache(folder: Path) -> None:
    """Every hub model of the catalogue that runs on a CPU, as `huggingface_hub` would have left it in its cache."""
    for key, build in _BUILDERS.items():
        _put(folder, key, build)


def build_large_pair(folder: Path) -> None:
    """The models that `chat` and `next_word` take first, both a Llama of 100 MB in memory."""
    for key in ("smollm2-360m", "distilgpt2"):
        _put(folder, key, functools.partial(_smollm2, hidden_size=512, intermediate_size=1536, num_hidden_layers=8))


def build_offline_models(folder: Path) -> None:
    """The two base models of `python -m space.demo_models`."""
    _seeded(_smollm2, folder / "smollm2-135m-instruct")
    _seeded(_minilm, folder / "minilm-l6")


def build_adapters(folder: Path, base: Path) -> None:
    """Untrained adapters on the tiny MiniLM, in the layout of `space/weights`."""
    for task, auto_class, head, name in (
        ("sentiment", transformers.AutoModelForSequenceClassification, "classifier", "SEQ_CLS"),
        ("question_answering", transformers.AutoModelForQuestionAnswering, "qa_outputs", "QUESTION_ANS"),
    ):
        labels = ["NEGATIVE", "POSITIVE"] if head == "classifier" else None
        model, _ = load_base(base, auto_class, labels=labels)
        save_adapter(adapt(model, rank=2, head=head, task=name), folder / task)
        calibration = {"labels": labels} if labels else {"no_answer_threshold": 0.0}
        describe_adapter(folder / task, calibration=calibration, metrics={"headline": "not trained"}, card="")


def revision_of(repo: str) -> str:
    """The commit that a tiny model claims to be: 40 hex digits."""
    return hashlib.sha1(repo.encode()).hexdigest()


def _put(cache: Path, key: str, build: Callable[[Path], None]) -> None:
    repo = MODELS[key].repo
    assert repo is not None
    files = cache / ".staged"
    _seeded(build, files)
    _file_into_cache(files, cache / f"models--{repo.replace('/', '--')}", repo)
    shutil.rmtree(files)


def _seeded(build: Callable[[Path], None], folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        build(folder)


def _file_into_cache(files: Path, cache: Path, repo: str) -> None:
    revision = revision_of(repo)
    for path in sorted(files.rglob("*")):
        if path.is_dir():
            continue
        blob = cache / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        link = cache / "snapshots" / revision / path.relative_to(files)
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, blob)
        link.symlink_to(Path(*[".."] * (len(link.relative_to(cache).parts) - 1), "blobs", blob.name))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(revision)


def _save(folder: Path, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _byte_pairs(*special: str, size: int = 400) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    state = json.loads(tokenizer.to_str())["model"]
    return state["vocab"], [tuple(merge) for merge in state["merges"]]


def _word_pieces(*, lower: bool) -> transformers.BertTokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    texts = [text.lower() for text in SENTENCES] if lower else SENTENCES
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.BertTokenizer(tokenizer.get_vocab(), do_lower_case=lower, model_max_length=512)


def _t5_small(folder: Path) -> None:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    pieces = [tuple(piece) for piece in json.loads(tokenizer.to_str())["model"]["vocab"]]
    words = transformers.T5Tokenizer(pieces, extra_ids=0, model_max_length=512)
    config = transformers.T5Config(
        vocab_size=len(words), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    _save(folder, transformers.T5ForConditionalGeneration(config), words)


def _gpt2(folder: Path) -> None:
    tokenizer = transformers.GPT2Tokenizer(*_byte_pairs("<|endoftext|>"), model_max_length=1024)
    end = tokenizer.eos_token_id
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, bos_token_id=end, eos_token_id=end
    )
    _save(folder, transformers.GPT2LMHeadModel(config), tokenizer)


def _smollm2(folder: Path, **sizes: int) -> None:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = transformers.GPT2Tokenizer(
        *_byte_pairs(*special),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        chat_template=CHATML,
    )
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, **sizes}
    config = transformers.LlamaConfig(
        **sizes,
        vocab_size=len(tokenizer),
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
    )
    _save(folder, transformers.LlamaForCausalLM(config), tokenizer)


def _minilm(folder: Path) -> None:
    tokenizer = _word_pieces(lower=True)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    _save(folder, transformers.BertModel(config), tokenizer)


def _distilbert(head: Callable[[Any], Any], *, lower: bool, **settings: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        tokenizer = _word_pieces(lower=lower)
        config = transformers.DistilBertConfig(
            vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=4, hidden_dim=64, **settings
        )
        _save(folder, head(config), tokenizer)

    return build


def _tiny_roberta(folder: Path) -> None:
    vocabulary, merges = _byte_pairs("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = transformers.RobertaTokenizer(vocabulary, merges, model_max_length=512)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    _save(folder, transformers.RobertaForQuestionAnswering(config), tokenizer)


def _stable_diffusion(folder: Path) -> None:
    import diffusers
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

    tokenizer = _clip_tokenizer()
    text = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=8,
            sample_size=64,
        ),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
            sample_size=32,
        ),
        scheduler=diffusers.PNDMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=StableDiffusionSafetyChecker(
            transformers.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
        ),
        feature_extractor=transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32),
    )
    pipeline.save_pretrained(folder)
    index = folder / "model_index.json"  # the repository says CLIPImageProcessor
    index.write_text(index.read_text().replace("CLIPImageProcessorPil", "CLIPImageProcessor"))


def _clip_tokenizer() -> transformers.CLIPTokenizer:
    """The alphabet only: every byte, alone and as the end of a word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer({token: number for number, token in enumerate(tokens)}, [], model_max_length=77)


_BUILDERS: dict[str, Callable[[Path], None]] = {
    "t5-small-summary": _t5_small,
    "distilgpt2": _gpt2,
    "smollm2-360m": _smollm2,
    "distilbert-sst2": _distilbert(
        transformers.DistilBertForSequenceClassification,
        lower=True,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    ),
    "tinyroberta-squad2": _tiny_roberta,
    "distilbert-squad": _distilbert(transformers.DistilBertForQuestionAnswering, lower=False),
    "stable-diffusion-1.5": _stable_diffusion,
}

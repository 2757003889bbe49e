"""Pairs of texts: subwords that lose nothing, files that are checked, a small language learnt, and its translator."""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_models.errors import RunError, UsageError
from seq2seq import Texts, align, decode, load_model, read_texts, resolve_config, save_model, train
from seq2seq.data import make_data, split_texts
from seq2seq.learning import garble
from seq2seq.pairs import as_examples, bucketed, encode_texts, round_up
from seq2seq.reporting import choose_examples
from seq2seq.subwords import Subwords
from seq2seq.text_scores import TextScore
from seq2seq.vocabulary import BOS, EOS, PAD, SPECIAL

ROOT = Path(__file__).resolve().parents[2]
LEXICON = {
    "ein": "a",
    "der": "the",
    "Hund": "dog",
    "Vogel": "bird",
    "läuft": "runs",
    "singt": "sings",
    "schön": "well",
    "laut": "loud",
}
CONFIG = resolve_config(
    "pairs",
    epochs=12,
    batch_size=32,
    max_length=12,
    vocabulary_size=200,
    hidden_size=48,
    embedding_size=24,
    attention_size=24,
    recipe={"peak_learning_rate": 0.02, "dropout": 0.0, "input_noise": 0.0, "ema_decay": 0.95},
)


def small_language(count: int, *, seed: int) -> Texts:
    """Sentences of two to five words; the translation goes word by word, from the last to the first."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice([*LEXICON], rng.integers(2, 6)) for _ in range(count)]
    return Texts(
        tuple(" ".join(row) for row in rows), tuple(" ".join(LEXICON[word] for word in row[::-1]) for row in rows)
    )


def weights(fitted) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(fitted.trained.model))]


@pytest.fixture(scope="module")
def fitted():
    return train(CONFIG, texts=small_language(1500, seed=0))


def test_a_small_language_is_learnt_and_scored(fitted):
    unseen = small_language(100, seed=1)
    outputs = decode(fitted.trained, unseen.sources, beam_size=3)
    judged = TextScore(unseen.sources, unseen.targets, tuple(outputs), 3)
    assert judged.bleu[0] > 95
    assert judged.chrf[0] > 95
    assert "tok:13a" in judged.bleu[1]
    assert judged.metrics["errors"] == sum(a != b for a, b in zip(outputs, unseen.targets, strict=True))
    worse = dataclasses.replace(judged, outputs=tuple(output[:-3] for output in outputs))
    assert worse.bleu[0] < judged.bleu[0]


def test_an_alignment_of_texts_is_labelled_by_subwords(fitted):
    alignment = align(fitted.trained, "der Hund läuft schön", beam_size=2)
    assert "".join(alignment.source) == "derHundläuftschön"
    assert "".join(alignment.output) == "wellrunsdogthe"
    assert alignment.weights.shape == (len(alignment.output), len(alignment.source))


def test_what_a_model_cannot_read_is_left_away_where_texts_are_judged(fitted):
    texts = ["der \u2603 Hund läuft", "ein Hund " * 20]
    judged = TextScore(tuple(texts), ("runs dog the", "dog a"), tuple(decode(fitted.trained, texts, cut=True)), 2)
    assert judged.outputs[0].startswith("runs dog the"), "the space before what is left away stays"
    assert [example.output_text for example in choose_examples(fitted.trained, judged)]


def test_a_saved_model_brings_its_subwords(fitted, tmp_path):
    save_model(fitted.trained, tmp_path)
    loaded = load_model(tmp_path, task="pairs")
    assert loaded.config == CONFIG
    assert decode(loaded, ["ein Vogel singt"]) == ["sings bird a"]
    description = json.loads((tmp_path / "model.json").read_text())
    for damage in ({"format": 99}, {"config": {"task": "none"}}, {"vocabulary": {"kind": "subwords", "tokenizer": 3}}):
        (tmp_path / "model.json").write_text(json.dumps(description | damage))
        with pytest.raises(RunError, match="is damaged"):
            load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(RunError, match="is damaged"):
        load_model(tmp_path)


def run_translate(*options: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "seq2seq.translate", *options]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, check=False)


def test_the_translator_reads_standard_input_or_a_file_and_draws_where_it_looks(fitted, tmp_path):
    save_model(fitted.trained, tmp_path)
    text = "ein Vogel singt\nder Hund läuft\n".encode()
    (tmp_path / "lines.txt").write_bytes(text)
    options = ["--checkpoint", str(tmp_path)]
    piped = run_translate(*options, stdin=text)
    assert (piped.returncode, piped.stdout) == (0, b"sings bird a\nruns dog the\n")
    drawn = run_translate(*options, str(tmp_path / "lines.txt"), "--attention-map", str(tmp_path / "a.png"), stdin=b"")
    assert drawn.stdout == piped.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("stdin", "options", "message"),
    [
        ("ein Hund\n☃\n".encode(), [], "line 2 holds '☃', a character that the training never showed"),
        (b"ein Hund\n\n", [], "line 2 is empty"),
        (b"", [], "standard input is empty"),
        (b"ein Hund\n\xff\n", [], "line 2 is not UTF-8"),
        (b"ein " * 20, [], "the limit is 12"),
        (b"ein\n", ["--task", "reverse"], "is of the task pairs, not reverse"),
        (b"ein\n", ["--beam-size", "0"], "--beam-size: '0' is not a whole number of at least 1"),
    ],
)
def test_lines_that_cannot_be_read_are_one_line_and_nothing_is_written(stdin, options, message, fitted, tmp_path):
    save_model(fitted.trained, tmp_path)
    done = run_translate("--checkpoint", str(tmp_path), *options, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert message in done.stderr.decode()


def test_training_ends_when_validation_gets_no_better_and_keeps_the_best_epoch_also_after_a_stop(tmp_path):
    """A rate so high that later epochs are worse; stopped in the middle, the run ends with the same weights."""
    texts = small_language(300, seed=0)
    config = dataclasses.replace(
        CONFIG, epochs=30, patience=2, recipe=dataclasses.replace(CONFIG.recipe, peak_learning_rate=0.5, clip_norm=10.0)
    )
    whole = train(config, texts=texts)
    losses = [record.validation_loss for record in whole.history]
    assert len(losses) < 30
    assert len(losses) - 1 - int(np.argmin(losses)) == 2

    class Stopped(Exception):
        pass

    def stop(record):
        if record.epoch == int(np.argmin(losses)) + 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(config, texts=texts, on_epoch=stop, checkpoint_dir=tmp_path)
    resumed = train(config, texts=texts, checkpoint_dir=tmp_path)
    assert [record.validation_loss for record in resumed.history] == losses
    for ours, expected in zip(weights(resumed), weights(whole), strict=True):
        assert ours.tobytes() == expected.tobytes()
    (tmp_path / "best.npz").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is missing or old"):
        train(config, texts=texts, checkpoint_dir=tmp_path)
    with pytest.raises(UsageError, match="holds checkpoints of"):
        train(config, texts=small_language(300, seed=5), checkpoint_dir=tmp_path)
    (tmp_path / "best.npz").write_bytes(b"torn")
    with pytest.raises(RunError, match="is damaged"):
        train(config, texts=texts, checkpoint_dir=tmp_path)


def test_subwords_give_back_what_they_took_and_know_no_marks_in_a_text():
    texts = ["Ein Hund, der läuft.", "A dog (it runs): well!", "e\u0301te"]
    subwords = Subwords.learn(texts * 3, size=60)
    encoded = subwords.encode(texts, max_length=60)
    assert subwords.num_tokens <= SPECIAL + 60
    assert [subwords.decode(row) for row in encoded] == [*texts[:2], "\u00e9te"]
    marked = Subwords.learn(["<end> <pad> a"] * 3, size=60)
    assert not np.isin(marked.encode(["a <end> a"], max_length=60), [PAD, BOS, EOS]).any()
    assert Subwords(subwords.description).tokens(texts) == subwords.tokens(texts)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": b"one\ttwo\nthree\n"}, "a, line 2: 0 tabs"),
        ({"a": b"one\ttwo\tthree\n"}, "a, line 1: 2 tabs"),
        ({"a": b"one\t \n"}, "a, line 1 has an empty text"),
        ({"a": b""}, "a is empty"),
        ({"a": b"one\n", "b": b"one\ntwo\n"}, "a has 1 lines and .*b has 2"),
        ({"a": b"one\n\xe4\n", "b": b"one\ntwo\n"}, "a, line 2 is not UTF-8"),
        ({"a": b"x", "b": b"x", "c": b"x"}, "3 files were given"),
        ({}, "0 files were given"),
        ({"a.gz": b"no gzip"}, "cannot read .*a.gz"),
        ({"a.gz": gzip.compress(bytes(range(256)))[:15] + b"damage" * 9}, "cannot read .*a.gz"),
    ],
)
def test_files_that_are_no_pairs_are_refused(files, message, tmp_path):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_texts([tmp_path / name for name in files])


def test_pairs_are_read_from_one_file_or_two_packed_or_plain(tmp_path):
    (tmp_path / "both.tsv").write_bytes("\ufeffein  Hund\ta dog\r\nläuft\truns\r\n\n".encode())
    (tmp_path / "de.gz").write_bytes(gzip.compress("ein Hund\nläuft\n".encode()))
    (tmp_path / "en").write_bytes(b"a dog\nruns")
    one, two = read_texts([tmp_path / "both.tsv"]), read_texts([tmp_path / "de.gz", tmp_path / "en"])
    assert one == two == Texts(("ein Hund", "läuft"), ("a dog", "runs"))
    with pytest.raises(UsageError, match="cannot read"):
        read_texts([tmp_path / "missing"])


def test_batches_hold_like_lengths_and_an_epoch_holds_no_pair_twice():
    lengths = np.random.default_rng(0).integers(1, 40, size=1000)
    batches = [*bucketed(lengths, 32, rng=np.random.default_rng(0))]
    chosen = np.concatenate(batches)
    assert len(chosen) == len(set(chosen.tolist())) == 31 * 32
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 3
    assert [lengths[batch].mean() for batch in batches] != sorted(lengths[batch].mean() for batch in batches)
    epochs = [np.concatenate([*bucketed(lengths, 32, rng=np.random.default_rng(seed))]) for seed in range(20)]
    assert len(set(np.concatenate(epochs).tolist())) == 1000, "what one epoch leaves out, another has"


def test_widths_are_few_and_waste_little():
    widths = [round_up(length) for length in range(1, 101)]
    assert all(length <= width <= max(8, 1.25 * length) for length, width in enumerate(widths, 1))
    assert len(set(widths)) == 16


def test_pairs_that_are_too_long_are_left_out_and_targets_end():
    subwords = Subwords.learn(["a b c d e f"] * 3, size=20)
    texts = Texts(("a b", "a b c d e f"), ("c", "d"))
    sources, targets = encode_texts(texts, subwords, max_length=3)
    assert (len(sources), targets[0][-1]) == (1, EOS)
    examples = as_examples(sources, targets)
    assert examples.source.shape == examples.target.shape == (1, 8)


def test_the_last_pairs_are_held_out_for_early_stopping():
    texts = small_language(95, seed=0)
    training, held_out = split_texts(texts)
    assert (training.sources + held_out.sources, len(held_out)) == (texts.sources, 9)


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="pairs need texts"):
        make_data(CONFIG)
    with pytest.raises(UsageError, match="reverse makes its own data"):
        make_data(resolve_config("reverse"), small_language(10, seed=0))
    with pytest.raises(UsageError, match=r"27 pairs .* a batch takes 32"):
        make_data(CONFIG, small_language(30, seed=0))
    with pytest.raises(UsageError, match="2 sources and 1 targets"):
        Texts(("a", "b"), ("c",))


def test_garbling_changes_its_share_of_the_symbols_and_no_mark():
    inputs = jnp.tile(jnp.asarray([[BOS, 5, 6, 7, EOS, PAD]]), (3000, 1))
    garbled = np.asarray(garble(inputs, share=0.3, num_tokens=SPECIAL + 10, key=jax.random.key(0)))
    assert np.array_equal(garbled[:, [0, 4, 5]], inputs[:, [0, 4, 5]])
    assert (garbled[:, 1:4] != inputs[:, 1:4]).mean() == pytest.approx(0.3 * 0.9, abs=0.02)
    assert garbled.max() < SPECIAL + 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "pairs"], "pairs need --train-file and --valid-file"),
        (["--task", "pairs", "--steps", "5"], "--steps is for the tasks reverse, copy, sort, dates"),
        (["--task", "dates", "--vocabulary-size", "5"], "dates has no use for it"),
        (["--train-file", "x"], "--train-file is for the tasks pairs; reverse has no use for it"),
        (["--task", "pairs", "--train-file", "missing.tsv", "--valid-file", "missing.tsv"], "cannot read missing.tsv"),
        (["--dropout", "1"], "--dropout: '1' is not a number from 0 to less than 1"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(options, message, tmp_path):
    command = [sys.executable, "-m", "seq2seq.train", *options, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_trains_on_pairs_and_writes_scores_and_outputs(tmp_path):
    for name, texts in {"train": small_language(600, seed=0), "valid": small_language(30, seed=1)}.items():
        for side, lines in (("de", texts.sources), ("en", texts.targets)):
            (tmp_path / f"{name}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sizes = ["--epochs", "2", "--hidden-size", "16", "--embedding-size", "8", "--attention-size", "8"]
    files = [f"--{name}-file {tmp_path / name}.de {tmp_path / name}.en" for name in ("train", "valid")]
    command = (
        f"{sys.executable} -m seq2seq.train --task pairs --vocabulary-size 60 --max-length 12 --batch-size 32".split()
    )
    done = subprocess.run(
        [*command, *sizes, *" ".join(files).split(), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["test_size"] == 30
    assert 0 <= metrics["bleu"] <= 100
    assert len((tmp_path / "out" / "outputs.txt").read_text().splitlines()) == 30
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {"curves.png", "attention.png"}

"""The ablation: nothing is trained twice, every error counts, and location attention goes beyond its training."""

import dataclasses
import io
import json

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jax_models.errors import RunError, UsageError
from seq2seq import TrainConfig, ablation, decode, plots, train
from seq2seq.configuration import Recipe
from seq2seq.lengths import errors_by_length, sources_of_length
from seq2seq.reach import Run, markdown_table, percent, summarise
from seq2seq.storage import TrainedModel
from seq2seq.tasks import TEST, bucket
from seq2seq.vocabulary import PAD, SPECIAL, Symbols

TINY = TrainConfig(vocabulary_size=5, max_length=4, hidden_size=16, batch_size=8, steps=20, recipe=Recipe(dropout=0.0))
OPTIONS = ["--vocabulary-size", "5", "--max-length", "4", "--hidden-size", "16", "--batch-size", "8", "--steps", "20"]
OPTIONS += ["--lengths", "6", "--per-length", "30", "--seeds", "2"]


@pytest.fixture
def trainings(monkeypatch):
    """The seeds that are trained while a test goes on; a sweep has one kind of attention only, for speed."""
    done = []

    def counted(config, **options):
        done.append(config.seed)
        return train(config, **options)

    monkeypatch.setattr(ablation, "ATTENTIONS", ("none",))
    monkeypatch.setattr(ablation, "share_the_cores", lambda: None)
    monkeypatch.setattr(ablation, "train", counted)
    return done


def test_a_stopped_sweep_goes_on_and_trains_nothing_twice(trainings, tmp_path, monkeypatch, capsys):
    options = [*OPTIONS, "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "errors_by_length", stop)
        with pytest.raises(KeyboardInterrupt):
            ablation.main(options)
    assert trainings == [0]
    assert not (tmp_path / "ablation.json").exists()
    ablation.main(options)
    assert trainings == [0, 1]
    written = {name: (tmp_path / name).read_bytes() for name in ("ablation.json", "table.md", "ablation.png")}
    ablation.main(options)
    assert trainings == [0, 1]
    assert written == {name: (tmp_path / name).read_bytes() for name in written}
    ablation.main([*options, "--lengths", "7"])
    assert len(trainings) == 2, "other lengths are judged without training"
    numbers = json.loads((tmp_path / "ablation.json").read_text())
    assert [*numbers["runs"][0]["errors"]] == ["1", "2", "3", "4", "7"]
    assert numbers["runs"][0]["errors"]["1"][1] == 5, "of one symbol there are only as many as there are symbols"
    assert "none, seed 1: exact match" in capsys.readouterr().out


def stop(*_, **__):
    raise KeyboardInterrupt


def test_a_damaged_run_is_an_error_of_one_line_and_not_trained_over(trainings, tmp_path):
    run = tmp_path / "runs" / dataclasses.replace(TINY, attention="none").run.replace("/", "-") / ablation.RUN
    run.parent.mkdir(parents=True)
    run.write_text('{"config": 1')
    with pytest.raises(RunError, match=r"run.json is damaged .* move .* away"):
        ablation.main([*OPTIONS, "--out", str(tmp_path)])
    assert trainings == []


@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_sources_are_unique_and_unseen_unless_they_are_too_short_to_be_held_out(length):
    sources = sources_of_length(length, 60, num_symbols=100)
    assert sources.shape == (60, length)
    assert len(np.unique(sources, axis=0)) == 60
    assert (sources != PAD).all()
    assert (bucket(sources) == (-1 if length == 1 else TEST)).all()


def test_errors_are_those_of_the_decoded_outputs_end_marks_counted_in():
    trained = TrainedModel(TINY.new_model(SPECIAL + 5, rngs=nnx.Rngs(0)), Symbols(tuple(range(5))), TINY)
    for length, (wrong, judged) in errors_by_length(trained, [1, 3, 9], per_length=20):
        sources = [[token - SPECIAL for token in row] for row in sources_of_length(length, 20, num_symbols=5).tolist()]
        outputs = decode(trained, sources, max_length=9)
        assert judged == len(sources)
        assert wrong == sum(output != source[::-1] for output, source in zip(outputs, sources, strict=True))


def test_location_attention_reverses_sequences_five_times_as_long_as_those_of_its_training():
    sizes = {"hidden_size": 32, "embedding_size": 16, "attention_size": 16}
    recipe = Recipe(peak_learning_rate=0.02, dropout=0.0)
    config = TrainConfig(
        attention="location", vocabulary_size=20, max_length=10, steps=450, batch_size=64, recipe=recipe, **sizes
    )
    errors = dict(errors_by_length(train(config).trained, [10, 20, 50], per_length=100))
    assert errors == {10: (0, 100), 20: (0, 100), 50: (0, 100)}


def run_with(errors: dict[int, tuple[int, int]], *, seed: int = 0, attention: str = "dot") -> Run:
    config = dataclasses.replace(TINY, attention=attention, seed=seed)
    costs = {"num_params": 1234, "train_seconds": 2.0, "compile_seconds": 1.0}
    return Run(config=config, **costs, surroundings={}, per_length=100, errors=errors)


def test_a_summary_has_mean_worst_and_best_seed_and_how_far_they_hold():
    runs = [
        run_with({1: (0, 5), 4: (0, 100), 6: (1, 100), 25: (100, 100), 50: (0, 100)}),
        run_with({1: (0, 5), 4: (2, 100), 6: (1, 100), 25: (60, 100), 50: (0, 100)}, seed=1),
    ]
    (reach,) = summarise(runs)
    assert dataclasses.astuple(reach.by_length[25]) == pytest.approx((0.2, 0.0, 0.4))
    assert dataclasses.astuple(reach.trained) == pytest.approx((0.995, 0.99, 1.0))
    assert reach.holds == 6, "what comes after the first failing length does not count"
    table = markdown_table([reach], runs)
    assert "| 99.5 (99.0–100) | 20.0 (0–40.0) | 100 |" in " ".join(table.split())
    assert "mean over 2 seeds" in table


def test_100_percent_is_no_error_at_all_and_0_nothing_but():
    assert [percent(share) for share in (1.0, 0.99996, 0.9996, 0.5, 0.0002, 0.0)] == [
        "100",
        "99.996",
        "99.96",
        "50.0",
        "0.02",
        "0",
    ]


@pytest.mark.parametrize("last", [0, 40])
def test_the_figure_shows_curves_that_fall_that_do_not_and_that_are_low_from_the_start(last):
    def curve(*values):
        return {
            length: (float(value), value / 2, float(value)) for length, value in zip((1, 4, 6, 20), values, strict=True)
        }

    curves = {
        "none": curve(0, 0, 0, 0),
        "additive": curve(100, 100, 60, last),
        "dot": curve(100, 100, 45, 0),
        "location": curve(100, 100, 100, 100),
    }
    figure = plots.draw_reach(curves, trained=(1, 4), title="A title")
    assert Image.open(io.BytesIO(figure)).size == (1500, 840)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds: '0' is not a whole number of at least 1"),
        (["--task", "translate"], "unknown task 'translate'"),
        (["--lengths", "long"], "--lengths: 'long' is not a whole number"),
        (["--max-length", "1"], "max length is 1"),
        (["--vocabulary-size", "3"], "no sequence of length 2 is held out"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        ablation.main(options)
    assert not list(tmp_path.iterdir())

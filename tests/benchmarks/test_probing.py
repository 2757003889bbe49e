"""Probes on a folder's weights: run once, kept line by line, shown by the report, never for other weights."""

import io
import json
from pathlib import Path

import pytest
from report_rows import make_row
from rich.console import Console

from benchmarks import cells, probing, run_files
from benchmarks.derived import add_derived, image_of, image_text, read_derived
from benchmarks.predictions import Predictions
from benchmarks.probe_options import PROBES
from benchmarks.report import summarise, write_report
from benchmarks.report.depth import tables
from benchmarks.results import Row, append_row, read_rows
from jax_models.classification import fit
from jax_models.errors import RunError
from jax_models.evaluation import evaluate
from jax_models.recipes import resolve_config

MODELS = ("lenet5", "alexnet")


@pytest.fixture(scope="module")
def tiny():
    """The tiny data set of the sweep's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).with_name("tiny")))
        import dataset

    return dataset.load


def trained_row(out: Path, model: str, dataset) -> Row:
    """A row of a network that was really trained, with its predictions and weights in the folder."""
    config = resolve_config(model, "mnist", epochs=1, batch_size=20)
    fitted = fit(config, dataset)
    splits = {"validation": dataset.validation, "test": dataset.test}
    scores = {name: evaluate(fitted.model, split, dataset.spec) for name, split in splits.items()}
    kept = {name: Predictions(scores[name].probabilities, splits[name].labels) for name in splits}
    return make_row(model, "mnist") | {
        **cells.identity(config),
        "test": scores["test"].metrics,
        "validation": scores["validation"].metrics,
        "confusion_matrix": scores["test"].confusion_matrix,
        "predictions": run_files.save_predictions(out, config, kept),
        "weights": run_files.save_weights(out, config, fitted.model, scores={}),
    }


@pytest.fixture(scope="module")
def probed(tmp_path_factory, tiny):
    """A folder of two families after all probes, and what these printed."""
    out = tmp_path_factory.mktemp("probed") / "out"
    out.mkdir()
    for model in MODELS:
        append_row(out, trained_row(out, model, tiny("mnist")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "load_dataset", tiny)
        patch.setattr(probing, "IMAGES", 20)
        told = run_probes(out)
        again = run_probes(out)
    return out, told, again


def run_probes(out: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    probing.probe(summarise(read_rows(out), out), out, list(PROBES), data_dir=None, console=console)
    return console.file.getvalue()


def test_every_probe_runs_once_for_each_network_and_not_again(probed):
    out, told, again = probed
    assert again == ""
    for name in ("robustness", "attacks", "latency"):
        lines = [json.loads(line) for line in (out / "derived" / f"{name}.jsonl").read_text().splitlines()]
        assert sorted(line["cell"].split("/")[0] for line in lines) == sorted(MODELS)
        assert f"{name}: LeNet-5 on MNIST" in told
    for name in ("saliency", "examples"):
        assert len((out / "derived" / f"{name}.jsonl").read_text().splitlines()) == 1


def test_results_are_of_these_networks(probed):
    out, *_ = probed
    row = read_rows(out)[0]
    robustness, attacks = read_derived(out, "robustness", row), read_derived(out, "attacks", row)
    assert robustness["count"] == attacks["count"] == 20
    assert robustness["clean_accuracy"] == attacks["clean_accuracy"]
    assert len(robustness["corruption_accuracy"]) == 15
    assert max(attacks["pgd"]) <= attacks["clean_accuracy"]
    assert 0 < read_derived(out, "latency", row)["milliseconds"] < 1000


def test_the_report_shows_what_was_found(probed):
    out, *_ = probed
    summary = summarise(read_rows(out), out)
    (sweep,) = summary.sweeps
    assert [table.title for table in tables(sweep, "mnist")] == ["Calibration", "Robustness to corruptions", "Attacks"]
    write_report(summary, out)
    for name in ("robustness", "attacks", "saliency", "accuracy_by_latency"):
        assert (out / "figures" / f"{name}.png").exists()
    page = (out / "report.html").read_text()
    assert "; frost: " in page, "what had to be replaced is named"
    assert "What the networks look at" in page
    assert "Beyond accuracy" in page
    assert "**Attacks.**" in (out / "table.md").read_text()


def test_a_gallery_of_other_networks_is_not_shown(probed, tiny, tmp_path):
    out, *_ = probed
    rows = read_rows(out)
    rows[1]["weights"]["sha256"] = "0" * 64
    (sweep,) = summarise(rows, out).sweeps
    assert sweep.gallery("saliency", "mnist") is None
    assert sum(group.probe("attacks") is not None for group in sweep.groups) == 1


def test_missing_weights_are_one_clear_line(probed, tiny, monkeypatch, tmp_path):
    out, *_ = probed
    monkeypatch.setattr(probing, "load_dataset", tiny)
    with pytest.raises(RunError, match=r"cannot read .*safetensors"):
        probing.probe(
            summarise(read_rows(out), tmp_path), tmp_path, ["latency"], data_dir=None, console=Console(quiet=True)
        )
    row = {name: value for name, value in read_rows(out)[0].items() if name != "weights"}
    with pytest.raises(RunError, match="has kept no weights"):
        run_files.load_classifier(out, row)


def test_the_latest_whole_line_counts(tmp_path):
    row = {"cell": "a", "weights": {"sha256": "1"}}
    assert read_derived(tmp_path, "attacks", row) is None
    add_derived(tmp_path, "attacks", row, {"value": 1})
    add_derived(tmp_path, "attacks", row, {"value": 2})
    with (tmp_path / "derived" / "attacks.jsonl").open("a") as file:
        file.write('{"cell": "a", "weights": "1", "result": {"val')
    assert read_derived(tmp_path, "attacks", row) == {"value": 2}


def test_an_image_survives_being_a_text():
    import numpy as np

    for shape in ((28, 28, 1), (32, 32, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        assert (image_of(image_text(pixels)) == pixels).all()

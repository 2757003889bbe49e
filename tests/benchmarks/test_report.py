"""The report says what the rows say: nothing hidden, nothing averaged that differs, no spread from one seed."""

import csv
import html.parser
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from benchmarks.report import print_summary, readme_table, wording, write_report
from benchmarks.report.labels import place_names
from benchmarks.report.notes import notes
from benchmarks.report.significance import interval, margin
from benchmarks.report.summary import summarise
from benchmarks.report.tables import csv_table, markdown_table
from benchmarks.results import read_rows
from jax_models.data.catalog import DATASETS
from jax_models.errors import UsageError
from jax_models.registry import MODELS

TEST_IMAGES = 10_000
ACCURACY = {  # percent, by model: MNIST, FashionMNIST, CIFAR-10
    "lenet5": (98.91, 88.9, 63.1),
    "alexnet": (99.2, 90.8, 73.4),
    "vgg16": (99.41, 92.4, 80.9),
    "resnet18": (99.52, 93.05, 84.6),
    "googlenet": (99.47, 92.6, 82.2),
    "xception": (99.38, 92.1, 81.4),
    "se_resnet18": (99.49, 93.11, 84.2),
}
PARAMS = dict(zip(ACCURACY, (62_006, 501_322, 927_000, 1_120_000, 421_000, 610_000, 1_150_000), strict=True))
TRAIN_SECONDS = dict(zip(ACCURACY, (9, 31, 62, 92, 88, 104, 97), strict=True))
DATASET_NAMES = ("mnist", "fashion_mnist", "cifar10")


def make_row(model: str, dataset: str, *, preset: str = "quick", seed: int = 0, epochs: int | None = None) -> dict:
    """A finished row with realistic numbers, the same for the same arguments."""
    column = DATASET_NAMES.index(dataset)
    epochs = epochs or (3, 5, 8)[column]
    rng = np.random.default_rng([seed, column, list(ACCURACY).index(model), epochs, len(preset)])
    accuracy = ACCURACY[model][column] / 100
    if seed:
        accuracy += rng.normal(0, 0.005 * (1 - accuracy) ** 0.5)
    accuracy = round(TEST_IMAGES * accuracy) / TEST_IMAGES
    confusion = make_confusion(rng, accuracy)
    loss = round(3.1 * (1 - accuracy) + 0.012, 4)
    recall = np.diag(confusion) / confusion.sum(1)
    precision = np.diag(confusion) / confusion.sum(0)
    test = {"accuracy": accuracy, "precision": float(precision.mean()), "recall": float(recall.mean())}
    test |= {"f1": float(2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())), "loss": loss}
    seconds = TRAIN_SECONDS[model] * (1, 1.7, 2.6)[column]
    return {
        "schema": 1,
        "status": "ok",
        "error": None,
        "cell": f"{model}/{dataset}/{preset}/s{seed}/e{epochs}/b128/1a2b3c4d",
        "model": model,
        "dataset": dataset,
        "preset": preset,
        "seed": seed,
        "epochs": epochs,
        "batch_size": 128,
        "recipe": {
            "optimizer": "adamw" if model == "xception" else "sgd",
            "peak_learning_rate": 0.004 if model == "xception" else 0.2,
            "weight_decay": 0.0005,
            "momentum": 0.9,
            "warmup": 0.2,
            "label_smoothing": 0.1,
            "ema_decay": 0.0,
            "crop_padding": (0, 2, 4)[column],
            "flip": column > 0,
        },
        "recipe_hash": "1a2b3c4d",
        "num_params": PARAMS[model] - (432 if column < 2 else 0),
        "flops": int(PARAMS[model] * (13.2 if column < 2 else 13.6)),
        "train_seconds": round(seconds * float(rng.uniform(0.97, 1.03)), 2),
        "compile_seconds": 4.2 + TRAIN_SECONDS[model] / 9,
        "wall_seconds": seconds + 19.0,
        "step_ms": round(seconds / epochs / 0.45, 2),
        "images_per_second": round(54_000 * epochs / seconds, 1),
        "peak_memory_bytes": 900_000_000 + 350 * PARAMS[model],
        "validation": test,
        "test": test,
        "per_class": [
            {"label": label, "precision": float(p), "recall": float(r), "f1": float(r), "support": 1000}
            for label, p, r in zip(DATASETS[dataset].classes, precision, recall, strict=True)
        ],
        "confusion_matrix": confusion.tolist(),
        "history": make_history(rng, accuracy, epochs, seconds),
        "versions": {
            "python": "3.11.2",
            "jax": "0.10.2",
            "jaxlib": "0.10.2",
            "flax": "0.12.8",
            "optax": "0.2.8",
            "numpy": "2.4.1",
            "scikit-learn": "1.8.0",
            "tensorflow-datasets": "4.9.10",
        },
        "device": {"platform": "cpu", "kind": "cpu", "count": 1, "cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cores": 2},
        "commit": "0f3c9a1d2b7e",
        "data_hashes": dict(DATASETS[dataset].files),
        "started": "2026-03-01T10:00:00+00:00",
        "finished": f"2026-03-01T10:{10 * column + list(ACCURACY).index(model):02d}:00+00:00",
    }


def make_confusion(rng: np.random.Generator, accuracy: float) -> np.ndarray:
    """10 x 10 counts, 1,000 true images per class, whose accuracy is exactly `accuracy` (a multiple of 1/10,000)."""
    confusion = np.full((10, 10), 0)
    errors = round(TEST_IMAGES * (1 - accuracy))
    weight = rng.gamma(0.35, 1.0, (10, 10)) + 0.02
    weight[3, 5] = weight[5, 3] = weight[0, 6] = weight[6, 0] = 5
    np.fill_diagonal(weight, 0)
    for true, predicted in zip(
        *np.unravel_index(rng.choice(100, errors, p=weight.ravel() / weight.sum()), (10, 10)), strict=True
    ):
        confusion[true, predicted] += 1
    confusion[np.diag_indices(10)] = 1000 - confusion.sum(1)
    return confusion


def make_history(rng: np.random.Generator, accuracy: float, epochs: int, seconds: float) -> list[dict]:
    """Curves that rise to `accuracy`; training lags behind validation, as it does under augmentation."""
    error = 1 - accuracy
    history = []
    for epoch in range(1, epochs + 1):
        left = (epochs - epoch) / epochs
        now = min(0.85, error * (1 + 4 * left**2) * float(rng.uniform(0.95, 1.15)) if left else error)
        entry = {"epoch": epoch, "train_loss": 3.4 * now + 0.05, "train_accuracy": 1 - (0.7 + 0.6 * left) * now}
        entry |= {"validation_loss": 3.1 * now + 0.012, "validation_accuracy": 1 - now}
        history.append(entry | {"learning_rate": 0.2 * left, "seconds": seconds / epochs})
    return history


def make_failure(model: str, dataset: str, *, seed: int = 0, status: str = "failed", error: str = "disk full") -> dict:
    """A row of a cell that did not finish: what identifies it, and why."""
    row = make_row(model, dataset, seed=seed)
    kept = ("schema", "cell", "model", "dataset", "preset", "seed", "epochs", "batch_size", "recipe", "recipe_hash")
    return {name: row[name] for name in kept} | {"status": status, "error": error}


def make_rows(*, seeds: int = 1, preset: str = "quick") -> list[dict]:
    """All 21 cells with some seeds each."""
    return [
        make_row(model, dataset, preset=preset, seed=seed)
        for dataset in DATASET_NAMES
        for model in MODELS
        for seed in range(seeds)
    ]


# --- what the rows say -----------------------------------------------------------------------------------------------


def test_seeds_of_one_setting_are_averaged():
    rows = [make_row("resnet18", "cifar10", seed=seed) for seed in range(3)]
    (group,) = summarise(rows).sweeps[0].groups
    accuracies = [row["test"]["accuracy"] for row in rows]
    estimate = group.estimate("accuracy")
    assert estimate.mean == pytest.approx(np.mean(accuracies))
    assert estimate.std == pytest.approx(np.std(accuracies, ddof=1))
    assert estimate.n == 3


def test_one_seed_has_no_spread():
    (group,) = summarise([make_row("lenet5", "mnist")]).sweeps[0].groups
    assert group.estimate("accuracy").std is None


def test_presets_are_kept_apart_and_the_mix_is_said():
    summary = summarise([make_row("vgg16", "mnist"), make_row("vgg16", "mnist", preset="full")])
    assert [(sweep.preset, len(sweep.groups)) for sweep in summary.sweeps] == [("quick", 1), ("full", 1)]
    assert any("mixes the presets quick and full" in note for note in notes(summary))


def test_runs_of_another_length_are_not_averaged_but_said():
    first, second = make_row("vgg16", "mnist", epochs=5), make_row("vgg16", "mnist", epochs=3)
    summary = summarise([first, second])
    (sweep,) = summary.sweeps
    assert [group.epochs for group in sweep.groups] == [3], "the latest row decides"
    assert [group.epochs for group in sweep.superseded] == [5]
    assert any("3 epochs" in note and "not 5 epochs" in note for note in notes(summary))
    assert len(csv_lines([first, second])) == 2, "the CSV keeps both"


def test_a_failure_is_forgotten_once_its_cell_finished():
    failure, row = make_failure("lenet5", "mnist"), make_row("lenet5", "mnist")
    assert summarise([failure, row]).failed == ()
    assert summarise([row, failure]).failed == (), "a later failure does not undo a finished run"
    assert len(summarise([failure, failure]).failed) == 1


def test_the_latest_row_of_a_cell_counts():
    old, new = make_row("lenet5", "mnist"), make_row("lenet5", "mnist")
    new["test"] = new["test"] | {"accuracy": 0.5}
    (group,) = summarise([old, new]).sweeps[0].groups
    assert (group.n, group.accuracy) == (1, 0.5)


def test_missing_cells_devices_and_commits_are_said():
    rows = make_rows()[:-1]
    rows[0] = rows[0] | {"commit": "fffffff", "device": {"platform": "gpu", "kind": "NVIDIA H100", "count": 1}}
    said = " ".join(notes(summarise(rows)))
    assert "No finished run of SE-ResNet-18 on CIFAR-10" in said
    assert "more than one device" in said
    assert "more than one commit" in said


def test_a_complete_sweep_on_one_machine_needs_no_note():
    assert notes(summarise(make_rows())) == []


def test_a_row_that_is_not_ours_is_named():
    row = make_row("lenet5", "mnist")
    del row["test"]["f1"]
    with pytest.raises(UsageError, match=r"lenet5/mnist/quick/s0.*'f1'"):
        summarise([row])


# --- how far is far enough -------------------------------------------------------------------------------------------


def test_margin_of_one_seed_is_newcombes_interval():
    low, high = interval(0.8, TEST_IMAGES)
    assert (low, high) == pytest.approx((0.7920, 0.8077), abs=1e-4)
    assert margin(0.8, TEST_IMAGES, [(1, None)] * 7) == pytest.approx(math.hypot(0.8 - low, high - 0.8))


def test_margin_grows_with_the_spread_over_seeds():
    images_alone = margin(0.8, TEST_IMAGES, [(1, None)] * 2)
    assert margin(0.8, TEST_IMAGES, [(3, 0.0)] * 2) == pytest.approx(images_alone)
    assert margin(0.8, TEST_IMAGES, [(3, 0.01)] * 2) > margin(0.8, TEST_IMAGES, [(9, 0.01)] * 2) > images_alone


def test_equal_families_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    scores = rng.binomial(TEST_IMAGES, 0.9, (2_000, 2)) / TEST_IMAGES
    limits = {best: margin(best, TEST_IMAGES, [(1, None)] * 2) for best in set(scores.max(1).tolist())}
    wrong = np.mean([max(pair) - min(pair) >= limits[max(pair)] for pair in scores.tolist()])
    assert 0.03 < wrong < 0.07, "95 % margins err 5 % of the time"


def test_verdict_names_who_is_within_the_margin_of_the_best():
    (sweep,) = summarise(make_rows()).sweeps
    verdict = sweep.verdict("cifar10")
    assert verdict.best.model == "resnet18"
    assert [group.model for group in verdict.close] == ["se_resnet18"]
    assert verdict.runner_up is not None
    assert verdict.runner_up.model == "googlenet"


# --- tables ----------------------------------------------------------------------------------------------------------


def csv_lines(rows: list[dict]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_table(summarise(rows)))))


def test_csv_has_fractions_with_mean_std_and_n():
    lines = csv_lines(make_rows(seeds=2))
    assert len(lines) == 21
    line = next(line for line in lines if (line["model"], line["dataset"]) == ("vgg16", "cifar10"))
    assert 0.79 < float(line["accuracy_mean"]) < 0.83
    assert 0 < float(line["accuracy_std"]) < 0.02
    assert {line[f"{metric}_n"] for metric in ("accuracy", "precision", "recall", "f1", "loss")} == {"2"}
    assert line["num_params"] == str(PARAMS["vgg16"])
    assert float(line["peak_memory_bytes"]) > 1e9


def test_unknown_spread_is_empty_in_csv_and_a_dash_elsewhere():
    rows = make_rows()
    assert all(line["accuracy_std"] == "" for line in csv_lines(rows))
    table = markdown_table(summarise(rows))
    assert "± 0.00" not in table
    assert re.search(r"\| LeNet-5 +\| +98\.91 \| +– \| +1 \|", table)


def test_uneven_seeds_show_n_beside_each_accuracy():
    table = markdown_table(summarise([*make_rows(), make_row("lenet5", "mnist", seed=1)]))
    assert "99.52 ± – (n=1)" in table
    assert re.search(r"98\.\d\d ± 0\.\d\d \(n=2\)", table)


def test_markdown_marks_the_best_of_each_data_set_in_bold_percent():
    grid = readme_table(make_rows())
    assert "| ResNet-18    | **99.52** |          93.05 |  **84.60** |" in grid
    assert "| SE-ResNet-18 |     99.49 |      **93.11** |      84.20 |" in grid


def test_readme_table_says_n_device_and_commit():
    table = readme_table(make_rows())
    assert "n = 1 (one seed: no spread is known)" in table
    assert "Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores; commit 0f3c9a1d2b7e; jax 0.10.2" in table
    assert "differences below about 1.0 points are not distinguished, so SE-ResNet-18 (84.20) may be as good" in table


def test_an_error_with_a_pipe_does_not_break_the_markdown_table():
    table = markdown_table(summarise([make_failure("lenet5", "mnist", error="a | b\nc")]))
    assert "a \\| b c |" in table


def test_terminal_table_fits_80_columns_and_names_the_best():
    console = Console(width=80, record=True, file=io.StringIO())
    print_summary([*make_rows(seeds=3), make_failure("vgg16", "mnist", seed=9, error="[Errno 28] no [space]")], console)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for dataset, best in (("MNIST", "SE-ResNet-18"), ("FashionMNIST", "SE-ResNet-18"), ("CIFAR-10", "ResNet-18")):
        assert f"Best on {dataset}: {best}, " in text
    assert "failed. [Errno 28] no [space]" in text


@pytest.mark.parametrize(
    ("value", "text"), [(62_006, "62.0k"), (999_600, "1.00M"), (20_827_442, "20.8M"), (7, "7.00"), (math.nan, "–")]
)
def test_quantities_have_three_digits(value, text):
    assert wording.quantity(float(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9.96, "10.0 s"), (59.6, "1 min 00 s"), (125.0, "2 min 05 s"), (7_620.0, "2 h 07 min")]
)
def test_durations_read_well(value, text):
    assert wording.duration(value) == text


# --- figures and page ------------------------------------------------------------------------------------------------


class PageParser(html.parser.HTMLParser):
    """Collects the ids of a page, whatever it would fetch, and its visible text."""

    def __init__(self):
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name == "href" and value.startswith("#"):
                self.targets.append(value[1:])
            elif name in ("src", "srcset", "data", "action", "poster") or (name == "href" and tag != "a"):
                self.fetched.append(f"{tag} {value}")

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with the report of two families on two data sets, one of them with two seeds, and a failed cell."""
    out = tmp_path_factory.mktemp("out")
    rows = [make_row(model, data) for model in ("lenet5", "resnet18") for data in ("mnist", "cifar10")]
    rows += [make_row("lenet5", "mnist", seed=1), make_failure("vgg16", "mnist", error="<script>alert('no')</script>")]
    (out / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "figures").mkdir()
    (out / "figures" / "accuracy-full.png").write_bytes(b"of an earlier report")
    (out / "figures" / "my-own.png").write_bytes(b"the user's")
    write_report(rows, out)
    return out


def test_report_writes_all_its_files_and_leaves_no_temporary_one(written):
    names = (
        "accuracy",
        "curves_accuracy",
        "curves_loss",
        "confusion",
        "accuracy_by_parameters",
        "accuracy_by_train_time",
    )
    figures = {f"figures/{name}.png" for name in names}
    found = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert found == {"runs.jsonl", "table.csv", "table.md", "report.html", "figures/my-own.png"} | figures


def test_figures_are_sharp_and_not_blank(written):
    for path in (written / "figures").glob("[ac]*.png"):
        with Image.open(path) as image:
            assert round(image.info["dpi"][0]) == 150
            assert min(image.size) > 400
            assert len(np.unique(np.asarray(image.convert("L")))) > 50


def test_page_fetches_nothing_and_its_ids_are_unique(written):
    page = PageParser()
    source = (written / "report.html").read_text()
    page.feed(source)
    assert page.fetched == []
    assert "url(http" not in source
    assert "@import" not in source
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)


def test_page_says_what_was_found_and_what_failed(written):
    page = PageParser()
    page.feed((written / "report.html").read_text())
    text = " ".join(page.text.split())
    assert "Two CNN families on MNIST and CIFAR-10" in text
    assert "no family comes that close, next is LeNet-5 (63.10)" in text.replace("\N{NON-BREAKING HYPHEN}", "-")
    assert "n stands beside each" in text
    assert "alert('no')" in text, "shown as text"
    assert "<script" not in (written / "report.html").read_text()
    assert DATASETS["cifar10"].files["test_batch.bin"] in text
    assert "0f3c9a1d2b7e" in text


def test_page_follows_the_colour_scheme(written):
    source = (written / "report.html").read_text()
    assert "prefers-color-scheme: dark" in source
    drawings = re.findall(r"<svg.*?</svg>", source, flags=re.DOTALL)
    assert len(drawings) == 2 * 4 + 2 * 4
    assert all("var(--muted)" in drawing and "#1b1f24" not in drawing for drawing in drawings)


def test_same_rows_give_the_same_bytes(written, tmp_path):
    write_report(read_rows(written), tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes(), path.name


def test_one_finished_epoch_of_one_cell_makes_a_report(tmp_path):
    write_report([make_row("lenet5", "mnist", epochs=1)], tmp_path)
    assert "LeNet-5 on MNIST" in (tmp_path / "report.html").read_text()


def test_nothing_but_failures_makes_a_report_too(tmp_path):
    write_report([make_failure("lenet5", "mnist", status="diverged", error="loss is NaN")], tmp_path)
    assert "loss is NaN" in (tmp_path / "report.html").read_text()
    assert "loss is NaN" in (tmp_path / "table.md").read_text()


def test_names_of_crowded_points_do_not_hide_each_other():
    centres = np.array([[150.0, 100.0], [156, 103], [150, 90], [120, 95], [30, 20]])
    sizes = np.full((5, 2), [60.0, 12.0])
    offsets = place_names(centres, sizes, np.array([0.0, 0.0, 260.0, 180.0]))
    low = centres + offsets + (np.sign(offsets) - 1) / 2 * sizes
    sides = np.minimum(low[:, None] + sizes[:, None], low + sizes) - np.maximum(low[:, None], low)
    overlap = np.prod(np.maximum(sides, 0), -1)[~np.eye(5, dtype=bool)]
    assert overlap.max() == 0
    assert (low >= 0).all()
    assert (low + sizes <= [260, 180]).all()


# --- command line ----------------------------------------------------------------------------------------------------


def run_report(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.report", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_without_rows_says_what_to_type(tmp_path):
    result = run_report(str(tmp_path))
    assert result.returncode == 2
    assert "benchmarks.compare --out" in result.stderr
    assert "Traceback" not in result.stderr


def test_command_prints_the_readme_table(written):
    result = run_report(str(written), "--readme")
    assert result.returncode == 0, result.stderr
    assert result.stdout == readme_table(read_rows(written))

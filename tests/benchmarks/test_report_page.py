"""The report's files: sharp figures, one page that needs nothing else, the same bytes for the same rows."""

import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_rows import make_failure, make_row

from benchmarks.report import readme_table, summarise, write_report
from benchmarks.report.labels import place_names
from benchmarks.report.plot import Panel, Plot
from benchmarks.report.render import svg
from benchmarks.results import read_rows
from jax_models.data.catalog import DATASETS


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
    write_report(summarise(rows), out)
    return out


def test_report_writes_all_its_files_and_leaves_no_temporary_one(written):
    names = (
        "accuracy",
        "curves_accuracy",
        "curves_loss",
        "confusion",
        *(f"accuracy_by_{cost}" for cost in ("parameters", "operations", "train_time", "step_time", "memory")),
    )
    figures = {f"figures/{name}.png" for name in names}
    found = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert found == {"runs.jsonl", "table.csv", "pairs.csv", "table.md", "report.html", "figures/my-own.png"} | figures


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
    assert len(drawings) == 2 * 4 + 2 * 7
    assert all("var(--muted)" in drawing and "#1b1f24" not in drawing for drawing in drawings)


def test_same_rows_give_the_same_bytes(written, tmp_path):
    write_report(summarise(read_rows(written)), tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes(), path.name


def test_numbers_that_are_drawn_keep_their_digits_and_coordinates_do_not():
    def draw(axes):
        axes.plot([0, 1 / 3], [0, 2 / 3])
        axes.set_xlabel("99.9979 ResNet-18")

    plot = Plot(name="x", title="x", caption="", rows=(), size=(2.0, 2.0))
    drawing = svg(plot, Panel("", draw), label="", key="k")
    assert ">99.9979 ResNet-18<" in drawing
    assert not re.search(r' d="[^"]*\d\.\d{3}', drawing)


def test_one_finished_epoch_of_one_cell_makes_a_report(tmp_path):
    write_report(summarise([make_row("lenet5", "mnist", epochs=1)]), tmp_path)
    assert "LeNet-5 on MNIST" in (tmp_path / "report.html").read_text()


def test_nothing_but_failures_makes_a_report_too(tmp_path):
    write_report(summarise([make_failure("lenet5", "mnist", status="diverged", error="loss is NaN")]), tmp_path)
    assert "loss is NaN" in (tmp_path / "report.html").read_text()
    assert "loss is NaN" in (tmp_path / "table.md").read_text()


def test_names_of_crowded_points_do_not_hide_each_other():
    centres = np.array([[150.0, 100.0], [156, 103], [150, 90], [120, 95], [30, 20]])
    sizes = np.full((5, 2), [60.0, 12.0])
    offsets = place_names(centres, sizes, frame=np.array([0.0, 0.0, 260.0, 180.0]))
    low = centres + offsets + (np.sign(offsets) - 1) / 2 * sizes
    sides = np.minimum(low[:, None] + sizes[:, None], low + sizes) - np.maximum(low[:, None], low)
    overlap = np.prod(np.maximum(sides, 0), -1)[~np.eye(5, dtype=bool)]
    assert overlap.max() == 0
    assert (low >= 0).all()
    assert (low + sizes <= [260, 180]).all()


def run_report(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.report", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_without_rows_says_what_to_type(tmp_path):
    result = run_report(str(tmp_path))
    assert result.returncode == 2
    assert "benchmarks.compare --out" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_option_of_the_command_is_one_line():
    result = run_report("somewhere", "--table")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "unrecognized arguments: --table" in result.stderr


def test_command_prints_the_readme_table(written):
    result = run_report(str(written), "--readme")
    assert result.returncode == 0, result.stderr
    assert result.stdout == readme_table(summarise(read_rows(written)))

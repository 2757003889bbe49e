"""The panels show what the analysis found, the better above the worse."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.special import softmax

from benchmarks.analysis.calibration import calibrate
from benchmarks.analysis.curves import precision_recall, roc
from benchmarks.analysis.hard_examples import HardExample
from benchmarks.report.analysis_panels import (
    FEWEST,
    draw_front,
    draw_hard_example,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from benchmarks.report.plot import Panel, Plot
from benchmarks.report.render import png, svg
from jax_models.data.catalog import DATASETS


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture(scope="module")
def predictions():
    """Probabilities of two seeds of three families, of which the first is the best; and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2_000)
    margins = {"resnet18": 6, "lenet5": 4, "someones_own": 2}
    made = {
        m: softmax(rng.normal(0, 1.5, (2, 2_000, 10)) + lead * np.eye(10)[labels], -1) for m, lead in margins.items()
    }
    return made, labels


def make_plot(draw, *, size: tuple[float, float] = (3.9, 3.2)) -> tuple[Plot, Panel]:
    panel = Panel("panel", draw)
    return Plot(name="accuracy", title="title", caption="caption", rows=(("", (panel,)),), size=size), panel


@pytest.mark.parametrize(("draw", "curve"), [(draw_roc, roc), (draw_precision_recall, precision_recall)])
def test_curves_are_named_best_first_and_the_best_lies_highest(axes, predictions, draw, curve):
    made, labels = predictions
    curves = {model: curve(probabilities, labels) for model, probabilities in reversed(made.items())}
    draw(axes, curves=curves)
    axes.figure.draw_without_rendering()
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [name.split(" ", 1)[1] for name in names] == ["ResNet-18", "LeNet-5", "someones_own"]
    assert names[0].split()[0] == f"{100 * curves['resnet18'].area.mean:.{len(names[0].split()[0].split('.')[1])}f}"
    heights = [np.median(axes.transData.transform(line.get_xydata())[:, 1]) for line in axes.lines]
    assert heights[0] > heights[1] > heights[2]


def test_ticks_of_a_curve_say_the_percentage_that_is_right(axes, predictions):
    made, labels = predictions
    draw_precision_recall(axes, curves={"lenet5": precision_recall(made["lenet5"], labels)})
    axes.figure.draw_without_rendering()
    texts = {
        round(tick, 6): text.get_text() for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    }
    assert (texts[1], texts[0.5], texts[0.1], texts[0.01]) == ("0", "50", "90", "99")
    positions = axes.transData.transform([(0.1, 0.1), (0.01, 0.01)])
    assert (positions[1] > positions[0]).all(), "more recall is farther right, more precision higher"


def test_reliability_shows_both_states_and_no_point_of_a_handful_of_images(axes, predictions):
    made, labels = predictions
    family = made["lenet5"]
    result = calibrate(validation=family, validation_labels=labels, test=family, test_labels=labels)
    draw_reliability(axes, calibration=result, model="lenet5")
    _, before, after = axes.lines
    for line, bins in ((before, result.reliability_before), (after, result.reliability_after)):
        enough = bins.images >= FEWEST
        assert 2 < len(line.get_xdata()) == enough.sum() < (bins.images > 0).sum()
        np.testing.assert_array_equal(line.get_ydata(), bins.accuracy[enough])
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
    before, after = (f"{100 * scores['ece'].mean:.2f}" for scores in (result.before, result.after))
    assert axes.get_xlabel() == f"ECE {before} → {after} %, T {result.temperature.mean:.2f}"


def test_the_front_is_the_upper_edge_of_the_shade(axes):
    axes.set_xscale("log")
    axes.set_xlim(1, 1000)
    axes.set_ylim(0, 100)
    draw_front(axes, costs=np.array([100.0, 10.0, 50.0]), accuracies=np.array([0.9, 0.5, 0.4]))
    (edge,), (shade,) = axes.lines, axes.collections
    assert edge.get_xydata().tolist() == [[10, 50], [100, 90], [1000, 90]]
    assert shade.get_datalim(axes.transData).extents.tolist() == [10, 0, 1000, 90]
    inside = shade.get_paths()[0].contains_points
    assert inside([(50, 40)]).all(), "beaten"
    assert not inside([(50, 60)]).any(), "nobody reaches this at this cost"


def test_no_front_is_drawn_without_a_known_cost(axes):
    draw_front(axes, costs=np.array([np.nan]), accuracies=np.array([0.9]))
    assert not axes.has_data()


@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_a_hard_example_keeps_its_pixels_and_names_label_and_answer(axes, dataset, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    classes = DATASETS[dataset].classes
    example = HardExample(7, 4, ((9, 0.875), (4, 0.125)))
    draw_hard_example(axes, image=image, example=example, classes=classes)
    np.testing.assert_array_equal(np.reshape(axes.images[0].get_array(), shape), image)
    assert axes.get_xlabel() == f"labelled {classes[4]}\n88 %: {classes[9]}"
    plot, panel = make_plot(
        lambda axes: draw_hard_example(axes, image=image, example=example, classes=classes), size=(1.4, 1.7)
    )
    drawing = svg(plot, panel, label="an image", key="k")
    assert f'width="{shape[1]}"' in drawing
    assert "pixelated" in drawing, "the browser enlarges it without blurring"


def test_the_same_curves_give_the_same_bytes(predictions):
    made, labels = predictions
    curves = {model: roc(probabilities, labels) for model, probabilities in made.items()}
    plot, panel = make_plot(lambda axes: draw_roc(axes, curves=curves))
    assert png(plot, footer="") == png(plot, footer="")
    drawing = svg(plot, panel, label="curves", key="k")
    assert drawing == svg(plot, panel, label="curves", key="k")
    assert len(drawing) < 20_000

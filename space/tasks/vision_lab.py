"""Vision lab: draw a digit or upload a picture, and see what the project's own CNNs make of it, side by side."""

from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from space.labs.checkpoints import find_checkpoints
from space.labs.shelf import Shelf
from space.labs.small_images import as_data_url
from space.labs.vision_examples import EXAMPLES
from space.labs.voting import DATASETS, Ballot, Opinion, classify, make_shelf, title_of, trained_on, training_command
from space.serving import Space
from space.ui.drawing import drawing_pad
from space.ui.lab_panels import how_to_train, project_badge
from space.ui.widgets import Page, header, on_run, run_and_stop, status_html, status_line


def _build(space: Space) -> None:
    shelf = make_shelf()
    start = _start()
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            dataset = gr.Radio(_choices(), value=start, label="The networks know")
            pad = drawing_pad()
            with gr.Row():
                run, stop = run_and_stop("Vote")
            gr.HTML("Examples", elem_classes="lab-part lab-label", padding=False)
            with gr.Row(elem_classes="lab-examples"):
                for title, name, url in EXAMPLES:
                    _on_click(gr.Button(title, size="sm", min_width=80), (name, url), outputs=[dataset, pad])
            refresh = gr.Button("Look for networks again", size="sm")
        with gr.Column(scale=3, min_width=300):
            missing = _missing(start)
            seen = gr.HTML(elem_classes="lab-part", padding=False)
            status = status_line()
            opinions = gr.HTML(elem_classes="lab-part", padding=False)

    def show(image: str, dataset: str) -> Iterator[tuple[str, str, str]]:
        for ballot in classify(shelf, image, dataset=dataset):
            yield _seen(ballot), _status(ballot), _opinions(ballot)

    outputs = [seen, status, opinions]
    on_run(space, [run.click], show, inputs=[pad, dataset], outputs=outputs, stop=stop, status=status, gpu=False)
    dataset.change(
        lambda dataset: (_missing(dataset), "", status_html(None, "Ready"), ""),
        dataset, [missing, *outputs], api_visibility="private", queue=False,
    )  # fmt: skip
    refresh.click(
        lambda dataset: (gr.Radio(_choices()), _missing(dataset)),
        dataset, [dataset, missing], api_visibility="private", queue=False,
    )  # fmt: skip
    _publish(space, shelf)


def _publish(space: Space, shelf: Shelf[Any]) -> None:
    def classify_image(image: str, dataset: str = "mnist") -> Iterator[dict[str, Any]]:
        """Lets this project's CNNs look at a picture and vote on what it shows.

        Args:
            image: a data URL, "data:image/png;base64,..." (or jpeg, webp), up to 3 MB and 12 million pixels. Addresses
                and paths are refused.
            dataset: "mnist" (digits), "fashion_mnist" (garments) or "cifar10" (photos).

        Returns:
            the likeliest classes of every network, and the vote.
        """
        for ballot in classify(shelf, image, dataset=dataset):
            yield _reply(ballot)

    space.endpoint(classify_image, name="classify_image", gpu=False)


def _reply(ballot: Ballot) -> dict[str, Any]:
    models = {
        opinion.key: {
            "top": [{"label": label, "probability": probability} for label, probability in opinion.top],
            "test_accuracy": opinion.score,
            "ms": round(1000 * opinion.seconds, 3),
            **({"error": opinion.trouble} if opinion.trouble else {}),
        }
        for opinion in ballot.opinions
    }
    vote = {"label": ballot.winner, "agreeing": ballot.agreeing, "voters": len(ballot.voters)}
    return {"model": "+".join(models) or None, "dataset": ballot.dataset, "models": models, "vote": vote}


def _seen(ballot: Ballot) -> str:
    """The picture as the networks see it, and the vote."""
    if ballot.pixels is None:
        return ""
    picture = f'<img src="{as_data_url(ballot.pixels)}" alt="The picture in 32 by 32 pixels" width="128" height="128">'
    if not ballot.winner:
        return f'<div class="vote"><figure>{picture}<figcaption>What they see</figcaption></figure></div>'
    voters = len(ballot.voters)
    agree = f"{ballot.agreeing} of {voters} agree" if voters > 1 else "one network alone"
    return (
        f'<div class="vote"><figure>{picture}<figcaption>What they see</figcaption></figure>'
        f"<p><span>The vote</span><strong>{escape(ballot.winner)}</strong><span>{agree}</span></p></div>"
    )


def _opinions(ballot: Ballot) -> str:
    cards = [_card(opinion, ballot.winner) for opinion in ballot.opinions]
    cards += [
        f'<div class="opinion opinion-waits"><h2>{escape(title_of(key))}</h2><p>'
        f"{'loading and compiling' if key == ballot.loading else 'waits'}</p></div>"
        for key in ballot.waiting
    ]
    return f'<div class="opinions">{"".join(cards)}</div>'


def _card(opinion: Opinion, winner: str | None) -> str:
    title = escape(opinion.title)
    if opinion.trouble:
        return f'<div class="opinion opinion-dissents"><h2>{title}</h2><p>{escape(opinion.trouble)}</p></div>'
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        f'<td class="bar"><span style="width:{100 * probability:.1f}%"></span></td>'
        f"<td>{100 * probability:.1f} %</td></tr>"
        for label, probability in opinion.top
    )
    dissents = "" if opinion.top[0][0] == winner else " opinion-dissents"
    score = "" if opinion.score is None else f"{100 * opinion.score:.1f} % on the test split · "
    return (
        f'<div class="opinion{dissents}"><h2>{title} <small>{opinion.year}</small></h2>'
        f'<table class="bars" aria-label="{title}">{rows}</table>'
        f"<p>{score}{1000 * opinion.seconds:.1f} ms</p></div>"
    )


def _status(ballot: Ballot) -> str:
    count = len(ballot.opinions) + len(ballot.waiting)
    names = "1 network" if count == 1 else f"{count} networks"
    badge = project_badge(f"{names} of this project", quality=f"trained on {DATASETS[ballot.dataset]}")
    if ballot.loading:
        return status_html(badge, f"loading {title_of(ballot.loading)}, the first time only", busy=True)
    milliseconds = 1000 * sum(opinion.seconds for opinion in ballot.voters)
    busy = bool(ballot.waiting)
    return status_html(badge, f"{ballot.seconds:.2f} s", f"of which {milliseconds:.0f} ms computing", busy=busy)


def _choices() -> list[tuple[str, str]]:
    counts = Counter(checkpoint.subject for checkpoint in find_checkpoints("vision"))
    words = {name: f"{counts[name] or 'no'} network{'' if counts[name] == 1 else 's'}" for name in DATASETS}
    return [(f"{title}, {words[name]}", name) for name, title in DATASETS.items()]


def _start() -> str:
    """The first data set that networks were trained on."""
    return next((name for name in DATASETS if trained_on(name)), "mnist")


def _on_click(button: gr.Button, values: tuple[str, str], *, outputs: list[Any]) -> None:
    button.click(lambda: values, outputs=outputs, api_visibility="private", queue=False)


def _missing(dataset: str) -> gr.HTML:
    """How to train networks, shown where there are none."""
    if dataset not in DATASETS or trained_on(dataset):
        return gr.HTML("", visible=False, elem_classes="lab-part", padding=False)
    commands = (training_command(dataset), training_command(dataset).replace("lenet5", "resnet18"))
    panel = how_to_train(f"No network for {DATASETS[dataset]} is here yet", *commands)
    return gr.HTML(panel, visible=True, elem_classes="lab-part", padding=False)


PAGE = Page(
    "Vision lab",
    "vision-lab",
    "Draw a digit or upload a picture, and up to seven classic networks vote on what it is.",
    _build,
)

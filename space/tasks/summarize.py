"""Summarize: a text of any allowed length in a few sentences, by windows where the model cannot read it at once."""

import codecs
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

from space import limits
from space.choosing import AUTO, Choice
from space.jobs import Job, watch
from space.models import Loaded
from space.prompts import chat_prompt, plain_prompt
from space.serving import Space
from space.widgets import Page, header, model_picker, on_run, status_html, status_line
from space.windows import whole_sentences, windows

LONGEST = 60_000
UPLOAD_BYTES = 4 * LONGEST
SUFFIXES = (".txt", ".md")
SECONDS = 300.0
WINDOW = 1_000  # tokens; small models lose the thread of more, whatever their context
OVERLAP = 60
EXAMPLES = (
    "The city council voted on Tuesday night to close the old harbour road to cars from the first of May, after two years "
    "of debate and a trial that ran through last summer. During the trial, traffic on the neighbouring Quay Street rose by "
    "eight per cent, less than half of what the city's own engineers had predicted, while the number of people walking "
    "along the water doubled. Shop owners, who had opposed the plan at first, were divided: a survey of 140 businesses "
    "found that 61 reported higher sales, 44 saw no change, and 35 said they had lost customers who used to arrive by car. "
    "The road will stay open to buses, bicycles, emergency vehicles and deliveries before ten in the morning. The council "
    "set aside 3.2 million euros to widen the pavement, plant ninety trees and build a covered stop for the ferry.",
    "Sea otters were hunted for their fur until, by 1911, fewer than two thousand were left in the wild. Where they "
    "disappeared, the kelp forests went too. Otters eat sea urchins, and urchins eat kelp. Without otters the urchins "
    "multiplied and grazed the forests down to bare rock, and with the kelp went the fish, crabs and seals that had lived "
    "in it. Ecologists call an animal with such an outsized effect a keystone species. When otters were brought back to "
    "parts of the coast in the 1970s, the kelp returned within a few years.",
)


@dataclass(frozen=True)
class Length:
    """How long a summary is to be.

    Attributes:
        instruction: to a model that follows instructions. SmolLM2 was trained on the first two (smol-summarize in
            HuggingFaceTB/smoltalk).
        tokens: at most.
    """

    instruction: str
    tokens: int


LENGTHS = {
    "short": Length(
        "Extract and present the main key point of the input text in one very short sentence, including essential "
        "details like dates or locations if necessary.",
        50,
    ),
    "medium": Length(
        "Provide a concise, objective summary of the input text in up to three sentences, focusing on key actions and "
        "intentions without using second or third person pronouns.",
        110,
    ),
    "long": Length(
        "Provide a detailed, objective summary of the input text in up to eight sentences, focusing on key actions and "
        "intentions without using second or third person pronouns.",
        240,
    ),
}


@dataclass(frozen=True)
class Summary:
    """The answer so far.

    Attributes:
        text: the summary, or those of the windows so far.
        parts: the summaries of the windows, once there are several and all are written.
        window: the number of the one that is being read, from 1; 0 before the first.
        windows: how many there are.
        combining: whether it is their summaries that are read.
        words_in, words_out: words of the text and of the summary.
        rate: tokens a second of the latest window.
    """

    text: str = ""
    parts: tuple[str, ...] = ()
    window: int = 0
    windows: int = 0
    combining: bool = False
    words_in: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    choice: Choice | None = None
    done: bool = False

    @property
    def words_out(self) -> int:
        """Words of the summary."""
        return len(self.text.split())

    @property
    def ratio(self) -> float:
        """The share of the text's words that is left."""
        return self.words_out / max(self.words_in, 1)


def summarize(space: Space, text: str, *, length: str = "medium", model: str = AUTO) -> Iterator[Summary]:
    """Summarises `text`; a long one by windows, then their summaries together, until one summary is left.

    Raises:
        BadInput: the text, the length or the model is not allowed.
    """
    text = limits.text(text, name="The text", longest=LONGEST)
    wanted = LENGTHS[limits.one_of(length, tuple(LENGTHS), name="Length")]

    def work(job: Job[Summary]) -> None:
        with space.store.use("summarize", model, job=job) as loaded:
            _Run(loaded, wanted, job, replace(first, choice=loaded.choice)).summarize(text)

    first = Summary(words_in=len(text.split()))
    return watch(work, first=first, seconds=SECONDS)


@dataclass
class _Run:
    """One summary in the making; tells every change of its state."""

    loaded: Loaded
    wanted: Length
    job: Job[Summary]
    state: Summary
    started: float = field(default_factory=time.monotonic)

    def summarize(self, text: str) -> None:
        size = min(WINDOW, self.loaded.context - self.wanted.tokens - 100)  # 100 for the instruction
        size = max(size, 16)
        while True:
            pieces = windows(text, self.loaded.tokenizer, size=size, overlap=min(OVERLAP, size // 4))
            notes: list[str] = []
            for number, piece in enumerate(pieces, 1):
                self._tell(window=number, windows=len(pieces))
                notes.append(self._write(piece, before=notes, most=min(self.wanted.tokens, size // 3)))
            text = "\n\n".join(notes)
            if len(notes) == 1:
                return self._tell(text=text, done=True)
            self._tell(text=text, parts=self.state.parts or tuple(notes), combining=True)

    def _write(self, piece: str, *, before: list[str], most: int) -> str:
        from space.generation import Progress, Sampling, generate

        def tell(progress: Progress) -> None:
            self._tell(text="\n\n".join((*before, progress.text.strip())), rate=progress.rate)

        written = generate(
            self.loaded, self._prompt(piece), max_new_tokens=most, sampling=Sampling(), job=self.job, tell=tell
        )
        self.job.check()
        text = written.text.strip()
        return text if written.ended else whole_sentences(text)

    def _prompt(self, piece: str) -> Any:
        if self.loaded.spec.kind == "seq2seq":
            return plain_prompt(self.loaded, f"summarize: {piece.strip()}")
        messages = [
            {"role": "system", "content": self.wanted.instruction},
            {"role": "user", "content": piece.strip()},
        ]
        return chat_prompt(self.loaded, messages)

    def _tell(self, **changes: Any) -> None:
        self.state = replace(self.state, seconds=time.monotonic() - self.started, **changes)
        self.job.tell(self.state)


def read_upload(path: str) -> str:
    """The text of an uploaded file: UTF-8, UTF-16 with a byte order mark, or else Windows-1252.

    Raises:
        BadInput: it is no .txt or .md file, too large, or not text.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise limits.BadInput(f"The file must be one of: {', '.join(SUFFIXES)}.")
    if file.stat().st_size > UPLOAD_BYTES:
        raise limits.BadInput(f"The file has more than {UPLOAD_BYTES:,} bytes.")
    data = file.read_bytes()
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            decoded = data.decode(encoding)
            if "\0" not in decoded:
                return limits.text(decoded, name="The file", longest=LONGEST)
    raise limits.BadInput("The file is not text; save it as UTF-8.")


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            text = gr.Textbox(
                label="Text", lines=12, max_lines=18, max_length=LONGEST, placeholder="Paste a text, or upload one."
            )
            length = gr.Radio(list(LENGTHS), value="medium", label="Length")
            with gr.Row():
                run = gr.Button("Summarize", variant="primary")
                stop = gr.Button("Stop", variant="secondary", elem_classes="stop")
                upload = gr.UploadButton("Upload .txt or .md", file_types=list(SUFFIXES), type="filepath")
            gr.Examples([[example] for example in EXAMPLES], [text], label="Examples")
            with gr.Accordion("Settings", open=False):
                model = model_picker(space, "summarize")
        with gr.Column():
            summary = gr.Textbox(label="Summary", lines=8, max_lines=24, interactive=False, buttons=["copy"])
            status = status_line()
            parts = gr.Textbox(label="Summaries of the windows", visible=False, interactive=False, max_lines=20)

    def show(text: str, length: str, model: str) -> Iterator[tuple[Any, ...]]:
        for answer in summarize(space, text, length=length, model=model):
            notes = gr.Textbox("\n\n".join(answer.parts), visible=bool(answer.parts))
            yield answer.text, _status(answer), notes

    def read(path: str) -> Iterator[str]:
        yield read_upload(path)

    triggers = [run.click, text.submit]
    on_run(space, triggers, show, inputs=[text, length, model], outputs=[summary, status, parts], stop=stop)
    upload.upload(space.handler(read), upload, text, api_visibility="private", show_progress="hidden")

    def endpoint(text: str, length: str = "medium", model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Summarizes a text; a long one by windows, then their summaries together.

        Args:
            text: up to 60,000 characters.
            length: "short", "medium" or "long".
            model: "auto", or a model's key.

        Returns:
            the model that answered, the summary, the number of words in and out, and how many windows were read. Until
            the last reply the summary is unfinished.
        """
        for answer in summarize(space, text, length=length, model=model):
            yield {
                "model": answer.choice.spec.key if answer.choice else None,
                "summary": answer.text,
                "words_in": answer.words_in,
                "words_out": answer.words_out,
                "windows": max(len(answer.parts), answer.windows),
                "done": answer.done,
            }

    space.endpoint(endpoint, name="summarize")


def _status(answer: Summary) -> str:
    if answer.choice is None:
        return status_html(None, "loading the model", busy=True)
    place = f"window {answer.window} of {answer.windows}" if answer.windows > 1 else ""
    if answer.combining and not answer.done:
        place = f"combining {len(answer.parts)} summaries" + (f", {place}" if place else "")
    if answer.done and answer.parts:
        place = f"{len(answer.parts)} windows"
    words = f"{answer.words_in:,} words to {answer.words_out:,} ({answer.ratio:.0%})"
    rate = f"{answer.rate:.0f} tokens/s" if answer.rate else ""
    return status_html(answer.choice, place, words, f"{answer.seconds:.1f} s", rate, busy=not answer.done)


PAGE = Page("Summarize", "summarize", "The gist of a text, however long: nothing of it is left unread.", _build)

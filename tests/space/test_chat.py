"""Chat: answers are the model's own, a client's history is checked, and what does not fit is said to be left out."""

import pytest

pytest.importorskip("gradio")
torch = pytest.importorskip("torch")

from space.jobs import Job  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.tasks.chat import _stored, _until  # noqa: E402
from space.text.conversation import LONGEST_MESSAGE, MOST_MESSAGES, bounded, checked, fit  # noqa: E402
from space.text.replies import PRESETS, reply  # noqa: E402

HISTORY = [{"role": "user", "content": "Who wrote the letter?"}, {"role": "assistant", "content": "Anna wrote it."}]


def last(answers):
    *_, answer = answers
    return answer


def turns(number: int, length: int = 10) -> list[dict[str, str]]:
    return [{"role": "user" if turn % 2 == 0 else "assistant", "content": "a" * length} for turn in range(number)]


def test_the_precise_answer_is_what_transformers_writes(tiny_space):
    with tiny_space.store.use("chat", job=Job(float("inf"))) as loaded:
        messages = [{"role": "system", "content": "Be brief."}, *HISTORY, {"role": "user", "content": "Where?"}]
        ids = loaded.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        written = loaded.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=32,
            do_sample=False,
            pad_token_id=loaded.tokenizer.pad_token_id,
        )
        expected = loaded.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    settings = {"temperature": 0, "repetition_penalty": 1, "max_tokens": 32}
    answer = last(reply(tiny_space, "Where?", history=HISTORY, system="Be brief.", **settings))
    assert answer.text == expected.rstrip("\ufffd")
    assert answer.prompt_tokens == ids.shape[1]
    assert answer.tokens == written.shape[1] - ids.shape[1]
    assert answer.context_left == loaded.context - written.shape[1]


def test_an_answer_grows_and_names_its_seed(tiny_space):
    answers = list(reply(tiny_space, "Hello", seed=5, max_tokens=20))
    counts = [answer.tokens for answer in answers]
    assert counts == sorted(counts)
    assert answers[-1].done
    assert answers[-1].seed == 5
    assert last(reply(tiny_space, "Hello", seed=5, max_tokens=20)).text == answers[-1].text


def test_old_messages_leave_from_the_front_when_the_context_is_full_and_the_reply_counts_them(tiny_space):
    with tiny_space.store.use("chat", job=Job(float("inf"))) as loaded:
        history = turns(100, length=200)
        prompt, dropped = fit(loaded, history, system="", message="Hello", room=64)
        assert prompt.shape[1] <= loaded.context - 64
        assert 0 < dropped < 100
        assert history[dropped]["role"] == "user"
        text = loaded.tokenizer.decode(prompt[0])
        assert text.count("<|im_start|>user") == (100 - dropped) / 2 + 1
    answer = last(reply(tiny_space, "Hello", history=history, max_tokens=8, temperature=0))
    assert answer.dropped > 0


def test_a_message_that_does_not_fit_alone_is_refused(tiny_space):
    with pytest.raises(BadInput, match="shorten it"):
        list(reply(tiny_space, "\u2603 " * 1999))


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("hello", "list of messages"),
        ([["user", "hello"]], "must be like"),
        ([{"role": "system", "content": "obey"}], "must be one of: user, assistant"),
        ([{"content": "hello"}], "must be one of"),
        ([{"role": "user", "content": [{"type": "file", "file": {"path": "/etc/passwd"}}]}], "must be text"),
        ([{"role": "user", "content": "a" * (LONGEST_MESSAGE + 1)}], "at most 8,000"),
        (turns(MOST_MESSAGES + 2), "at most 200"),
        (turns(100, LONGEST_MESSAGE), "at most 100,000"),
    ],
)
def test_a_history_of_another_form_or_too_long_is_refused(tiny_space, history, message):
    with pytest.raises(BadInput, match=message):
        reply(tiny_space, "Hello", history=history)
    assert _stored({"messages": history}) == []


def test_keys_that_a_client_adds_do_not_reach_the_model():
    assert checked([{"role": "user", "content": "a\x00b", "tool_calls": "x"}]) == [{"role": "user", "content": "ab"}]


def test_a_kept_history_stays_within_what_is_accepted():
    history = bounded(turns(400, length=3_000))
    assert len(checked(history)) == len(history) > 0
    assert history[0]["role"] == "user"
    assert history[-1]["role"] == "assistant"


def test_retry_and_edit_go_back_to_a_message_of_the_user():
    assert _until(HISTORY, 0) == ([], "Who wrote the letter?")
    for place in (1, 2, -1, None, "0", 0.5):
        with pytest.raises(BadInput):
            _until(HISTORY, place)
    with pytest.raises(BadInput):
        _until([], 0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_within_the_limits(tiny_space, name):
    preset = PRESETS[name]
    answer = last(
        reply(
            tiny_space,
            "Hello",
            temperature=preset.temperature,
            top_p=preset.top_p,
            repetition_penalty=preset.repetition_penalty,
            max_tokens=4,
        )
    )
    assert answer.done

"""Input rules of the Space."""

import contextlib
import math
import types

import pytest

gr = pytest.importorskip("gradio")

from space import limits  # noqa: E402
from space.limits import BadInput, RateLimit, TookTooLong, client_of  # noqa: E402
from space.models.choosing import NotReady  # noqa: E402


def test_text_loses_control_characters_and_direction_overrides_and_keeps_the_rest():
    raw = "\x00a\u202eb\r\nc\td\ue000 é 日本 \U0001f469\u200d\U0001f680\x1b[31m "
    assert limits.text(raw, name="The text", longest=100) == "ab\nc\td\ue000 é 日本 \U0001f469\u200d\U0001f680[31m"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "The text is empty"),
        (" \n\t\x00\u202e ", "The text is empty"),
        ("x" * 11, "The text has 11 characters; at most 10 are allowed"),
        (None, "The text must be text"),
        (["x"], "The text must be text"),
        (7, "The text must be text"),
    ],
)
def test_text_that_cannot_be_used_is_refused_in_one_line(value, said):
    with pytest.raises(BadInput) as error:
        limits.text(value, name="The text", longest=10)
    assert said in error.value.message
    assert "\n" not in error.value.message


def test_lone_surrogates_are_removed_so_that_the_text_can_be_encoded():
    assert limits.text("a\ud800b", name="The text", longest=10).encode() == b"ab"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "3", None, True, 0.9, 3.1, pytest.param(10**400, id="huge")]
)
def test_number_out_of_range_or_none_at_all_is_refused(value):
    with pytest.raises(BadInput, match="from 1 to 3"):
        limits.number(value, name="Steps", low=1, high=3)


@pytest.mark.parametrize("value", [1, 2.5, 3])
def test_number_within_range_passes(value):
    assert limits.number(value, name="Steps", low=1, high=3) == value


def test_whole_number_is_whole():
    assert limits.whole(2.0, name="Images", low=1, high=4) == 2
    with pytest.raises(BadInput, match="whole number from 1 to 4"):
        limits.whole(2.5, name="Images", low=1, high=4)


def test_one_of_names_what_is_allowed_and_does_not_echo_markup():
    with pytest.raises(BadInput) as error:
        limits.one_of("<script>", ("short", "long"), name="Length")
    assert error.value.message == "Length must be one of: short, long."


def test_messages_show_a_users_markup_as_text():
    assert "<" not in BadInput("No <img src=x onerror=alert(1)>.").message


def test_a_page_says_over_each_refusal_what_kind_it_is():
    rate = RateLimit(per_minute=1)
    rate.take("a")
    with pytest.raises(BadInput) as refused:
        rate.take("a")
    kinds = (refused.value, BadInput("Too long."), TookTooLong("It took longer."), NotReady("It is not here."))
    assert [kind.title for kind in kinds] == [
        "Too many requests", "Please check your input", "It took too long", "The model cannot be had"
    ]  # fmt: skip


def test_rate_limit_refuses_one_client_and_lets_others_through():
    clock = [0.0]
    rate = RateLimit(per_minute=2, now=lambda: clock[0])
    rate.take("a")
    rate.take("a")
    with pytest.raises(BadInput, match="try again in 30 s"):
        rate.take("a")
    rate.take("b")
    clock[0] = 31.0
    rate.take("a")


def test_refused_requests_do_not_lengthen_the_wait():
    clock = [0.0]
    rate = RateLimit(per_minute=1, now=lambda: clock[0])
    rate.take("a")
    for _ in range(100):
        with pytest.raises(BadInput):
            rate.take("a")
    clock[0] = 61.0
    rate.take("a")


def test_rate_limit_remembers_a_bounded_number_of_clients():
    rate = RateLimit(per_minute=1)
    for number in range(20_000):
        rate.take(str(number))
    assert len(rate._buckets) <= limits.MOST_CLIENTS


@pytest.mark.parametrize(("per_minute", "let_through"), [(0, 1_000), (1, 1), (7, 7)])
def test_zero_is_no_limit(per_minute, let_through):
    rate = RateLimit(per_minute=per_minute, now=lambda: 0.0)
    taken = 0
    with contextlib.suppress(BadInput):
        for _ in range(1_000):
            rate.take("a")
            taken += 1
    assert taken == let_through


def request(host: str, **headers: str) -> gr.Request:
    """What Gradio hands a handler."""
    inner = types.SimpleNamespace(client=types.SimpleNamespace(host=host), headers=headers)
    return gr.Request(request=inner)  # type: ignore[arg-type]


def test_a_forwarded_address_is_believed_only_behind_the_spaces_proxy(monkeypatch):
    asked = request("10.0.0.1", **{"x-forwarded-for": "1.2.3.4, 5.6.7.8"})
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert client_of(asked) == "10.0.0.1"
    monkeypatch.setenv("SPACE_ID", "someone/some-space")
    assert client_of(asked) == "5.6.7.8"

"""ZeroGPU: work is sent to a borrowed GPU where there is one to borrow, and nothing happens elsewhere."""

import inspect
import pickle
import sys
import types

import pytest

pytest.importorskip("gradio")

import gradio as gr

from space import gpu
from space.jobs import TooLong
from space.limits import BadInput, RateLimit
from space.models.choosing import Choice, Chooser, NotReady
from space.models.store import Loaded, ModelStore
from space.serving import Space


def numbers(most):
    yield from range(most)


@pytest.fixture
def spaces(monkeypatch):
    """A package `spaces` that notes what it is asked to decorate; the real one needs Hugging Face's machines."""
    asked = []

    def decorator(*, duration):
        def decorate(function):
            asked.append((function.__name__, duration))
            return function

        return decorate

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=decorator))
    return asked


def loaded(choice):
    return Loaded(choice, None, None, choice.spec.size, None)


def make_space(load=loaded, budget=10**12):
    return Space(ModelStore(Chooser("offline", cached=lambda spec: None), load=load, budget=budget), RateLimit(0))


def call(handler, *values):
    return list(handler(types.SimpleNamespace(client=None, headers={}), *values))


def test_elsewhere_a_function_stays_as_it_is(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert gpu.on_gpu(numbers) is numbers


def test_work_of_a_page_borrows_a_gpu_for_a_limited_time(spaces):
    assert call(make_space().handler(numbers, gpu=True), 3) == [0, 1, 2]
    assert spaces == [("numbers", gpu.SECONDS)]


def test_what_needs_no_gpu_borrows_none(spaces):
    assert call(make_space().handler(numbers), 3) == [0, 1, 2]
    assert spaces == []


def test_the_request_stays_outside_because_it_cannot_be_sent_to_the_process(spaces):
    handler = make_space().handler(numbers, gpu=True)
    assert next(iter(inspect.signature(handler).parameters)) == "request"
    assert list(inspect.signature(gpu.on_gpu(numbers)).parameters) == ["most"]
    assert inspect.isgeneratorfunction(gpu.on_gpu(numbers))


def test_a_passed_deadline_comes_back_as_a_message(spaces):
    def slow():
        yield 1
        raise TooLong("It took too long.")

    with pytest.raises(BadInput, match="It took too long"):
        call(make_space().handler(slow, gpu=True))


@pytest.mark.parametrize(
    "value",
    [gr.Button("x", visible=True), gr.update(visible=False), gr.skip(), BadInput("The text is empty.")],
    ids=lambda value: type(value).__name__,
)
def test_what_pages_give_back_can_be_sent_between_processes(value):
    assert type(pickle.loads(pickle.dumps(value))) is type(value)


def test_models_are_loaded_before_the_server_starts_as_far_as_the_budget_goes(spaces):
    order = []

    def load(choice):
        order.append(choice.spec.key)
        return loaded(choice)

    space = make_space(load, budget=400_000_000)
    gpu.preload(space.store)
    assert order == ["smollm2-135m", "minilm-sentiment", "wardrobe"]
    assert space.store.in_memory == ("smollm2-135m", "minilm-sentiment", "wardrobe")


def test_a_model_that_cannot_be_had_stops_no_start(spaces, caplog):
    def load(choice: Choice):
        raise NotReady("It is not here.")

    gpu.preload(make_space(load).store)
    assert "smollm2-135m is loaded when it is first used: It is not here." in caplog.text


def test_elsewhere_no_model_is_loaded_before_it_is_used(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    space = make_space()
    gpu.preload(space.store)
    assert space.store.in_memory == ()

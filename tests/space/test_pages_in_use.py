"""Pages while they work, in a real browser: typing stays, Stop and failures are told, the chat outlives a reload."""

import time

import pytest

gr = pytest.importorskip("gradio")
torch = pytest.importorskip("torch")
pytest.importorskip("selenium")

from at_work import seconds_until, working  # noqa: E402
from browser import chromium, look, wait  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from space.app import build_app  # noqa: E402
from space.jobs import Job  # noqa: E402
from space.ui.theme import HEAD  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # Gradio's, in this process
TOKEN_SECONDS = {"chat": 0.1, "next_word": 1.5}


@pytest.fixture(scope="module")
def slow(tiny_space):
    """The app's parts, with models that take a while for each token and never end by themselves."""
    hooks = []
    with pytest.MonkeyPatch.context() as patch:
        for task, seconds in TOKEN_SECONDS.items():
            with tiny_space.store.use(task, job=Job(float("inf"))) as loaded:
                patch.setattr(loaded.model.generation_config, "eos_token_id", None)
                head = loaded.model.get_output_embeddings()
                hooks.append(head.register_forward_hook(lambda *_, seconds=seconds: time.sleep(seconds)))
        yield tiny_space
    for hook in hooks:
        hook.remove()


@pytest.fixture(scope="module")
def address(slow):
    app = build_app(slow)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, head=HEAD)
    yield url.rstrip("/")
    app.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def button(browser, label):
    return next(
        each for each in browser.find_elements(By.TAG_NAME, "button") if each.text == label and each.is_displayed()
    )


def field(browser, label):
    return browser.find_element(By.XPATH, f"//label[.//span[normalize-space()='{label}']]//textarea")


def status(browser):
    return str(browser.execute_script("return document.querySelector('.status').innerText"))


def busy(browser):
    return bool(browser.find_elements(By.CSS_SELECTOR, ".status .busy"))


def begin(browser, address):
    """A chat with an answer under way, of at most 256 slow tokens."""
    look(browser, f"{address}/chat", width=1280, theme="light")
    field(browser, "Message").send_keys("Hello there", Keys.ENTER)
    wait(lambda: "written" in status(browser))


@pytest.fixture
def answering(browser, address):
    """The same, ended afterwards."""
    begin(browser, address)
    yield browser
    browser.get("about:blank")
    seconds_until(lambda: not working())


def test_what_is_typed_while_an_answer_comes_stays(answering):
    box = field(answering, "Message")
    assert box.get_attribute("value") == ""
    box.send_keys("and then")
    before = status(answering)
    wait(lambda: status(answering) != before)
    time.sleep(1)
    assert box.get_attribute("value") == "and then"


def test_what_is_typed_while_a_taken_token_is_read_stays(browser, address):
    look(browser, f"{address}/next-word", width=1280, theme="light")
    button(browser, "Predict").click()
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "tr[data-token]"))
    box = field(browser, "Text")
    before = box.get_attribute("value")
    browser.find_elements(By.CSS_SELECTOR, "tr[data-token] button")[0].click()
    wait(lambda: box.get_attribute("value") != before and busy(browser))
    taken = box.get_attribute("value")
    box.send_keys(" more")
    wait(lambda: not busy(browser))
    assert box.get_attribute("value") == f"{taken} more"


@pytest.mark.parametrize("way", ["button", "Esc"])
def test_a_stopped_run_says_so_at_once_and_keeps_what_is_known_of_it(answering, way):
    if way == "button":
        button(answering, "Stop").click()
    else:
        answering.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert seconds_until(lambda: not working()) < 0.5
    wait(lambda: not busy(answering), seconds=1)
    line = status(answering)
    assert line.startswith("Stopped · hub SmolLM2 360M")
    assert "written" in line
    time.sleep(1)
    assert status(answering) == line


def test_a_run_right_after_a_stop_is_not_called_stopped(answering):
    button(answering, "Stop").click()
    wait(lambda: "Stopped" in status(answering))
    field(answering, "Message").send_keys("Again", Keys.ENTER)
    wait(lambda: "written" in status(answering) and busy(answering))
    time.sleep(1)
    assert busy(answering)
    assert "Stopped" not in status(answering)


def test_stop_leaves_the_line_of_a_run_that_has_ended(browser, address):
    look(browser, f"{address}/next-word", width=1280, theme="light")
    button(browser, "Predict").click()
    wait(lambda: "tokens read" in status(browser))
    line = status(browser)
    button(browser, "Stop").click()
    time.sleep(1)
    assert status(browser) == line


def test_a_failure_after_the_model_was_loaded_ends_the_pulse(browser, address):
    look(browser, f"{address}/chat", width=1280, theme="light")
    field(browser, "Message").click()
    browser.execute_cdp_cmd("Input.insertText", {"text": "\u2603 " * 1_999})  # more tokens than the model reads
    field(browser, "Message").send_keys(Keys.ENTER)
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".toast-body"))
    wait(lambda: status(browser).startswith("Stopped · "), seconds=2)
    assert not busy(browser)


def test_a_conversation_is_still_there_after_a_reload(answering):
    button(answering, "Stop").click()
    wait(lambda: "Stopped" in status(answering))

    def bubbles():
        """Letters and digits only: the tiny model writes control characters, too, which are not taken back."""
        texts = [each.text for each in answering.find_elements(By.CSS_SELECTOR, ".message .prose")]
        return ["".join(letter for letter in text if letter.isalnum()) for text in texts]

    time.sleep(1)  # the last token is shown
    before = bubbles()
    assert "Hellothere" in before[-2:]
    answering.refresh()
    wait(lambda: bubbles() == before)


def test_an_uploaded_text_is_decoded_into_its_box(browser, address, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_bytes("Gr\u00fc\u00dfe\r\naus K\u00f6ln".encode("utf-32"))
    look(browser, f"{address}/summarize", width=1280, theme="light")
    browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))
    expected = "Gr\u00fc\u00dfe\naus K\u00f6ln"
    wait(lambda: field(browser, "Text").get_attribute("value") == expected)
    assert field(browser, "Text").get_attribute("value") == expected

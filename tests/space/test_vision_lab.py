"""The vision lab: pictures brought into the networks' form, and the vote."""

import base64
import io
import struct
import time
import zlib

import pytest

gr = pytest.importorskip("gradio")
pytest.importorskip("safetensors")

import lab_models  # noqa: E402
from PIL import Image  # noqa: E402

from jax_models.registry import MODELS  # noqa: E402
from space.labs import small_images  # noqa: E402
from space.labs.small_images import decode_picture, in_form  # noqa: E402
from space.labs.vision_examples import EXAMPLES  # noqa: E402
from space.labs.voting import FAMILIES, Ballot, Opinion, classify, make_shelf  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.tasks import vision_lab  # noqa: E402
from space.ui.lab_panels import how_to_train  # noqa: E402


def data_url(image: Image.Image, kind: str = "png") -> str:
    data = io.BytesIO()
    image.save(data, kind)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def test_an_empty_pad_is_said_to_be_empty():
    for empty in (Image.new("L", (280, 280)), Image.new("RGBA", (50, 50), (0, 0, 0, 0)), Image.new("L", (1, 1), 255)):
        for dataset in ("mnist", "fashion_mnist"):
            with pytest.raises(BadInput, match="empty"):
                in_form(decode_picture(data_url(empty)), dataset)


def test_an_upload_is_turned_upright():
    image = Image.new("RGB", (40, 20), "red")
    exif = image.getexif()
    exif[274] = 6  # to be turned by 90 degrees
    data = io.BytesIO()
    image.save(data, "jpeg", exif=exif)
    url = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    assert decode_picture(url).size == (20, 40)


def bomb() -> str:
    """A PNG of a few kilobytes that says it has 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


SMALL = data_url(Image.new("L", (8, 8), 200))


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        7,
        ["data:image/png;base64,"],
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        "/etc/passwd",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,",
        "data:image/png;base64,%%%%",
        "data:image/png;base64,Zm9v\u00e9",
        SMALL.replace("image/png", "image/jpeg"),
        SMALL[:-40],
        "data:image/png;base64," + "A" * small_images.LONGEST,
        pytest.param(bomb(), id="bomb"),
    ],
)
def test_what_is_no_picture_in_the_request_is_refused(url):
    with pytest.raises(BadInput) as error:
        decode_picture(url)
    assert "\n" not in error.value.message


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Two CNNs with random weights for MNIST, one for CIFAR-10."""
    for model, dataset in (("lenet5", "mnist"), ("googlenet", "mnist"), ("lenet5", "cifar10")):
        lab_models.network_file(tmp_path, model=model, dataset=dataset)
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(tmp_path))
    return tmp_path


def test_every_network_of_the_data_set_gives_three_classes_one_after_the_other(networks):
    shelf = make_shelf()
    ballots = list(classify(shelf, EXAMPLES[0][2], dataset="mnist"))
    assert ballots[0].waiting == ("lenet5", "googlenet")
    assert any(ballot.loading == "lenet5" for ballot in ballots)
    last = ballots[-1]
    assert [opinion.key for opinion in last.opinions] == ["lenet5", "googlenet"]
    assert last.waiting == ()
    for opinion in last.opinions:
        probabilities = [probability for _, probability in opinion.top]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1.0001
        assert opinion.score == 0.5
    assert last.pixels is not None
    assert last.pixels.shape == (32, 32, 1)
    again = list(classify(shelf, EXAMPLES[0][2], dataset="mnist"))
    assert not any(ballot.loading for ballot in again)
    assert [opinion.top for opinion in again[-1].opinions] == [opinion.top for opinion in last.opinions]


def test_a_network_that_cannot_be_read_says_so_and_the_others_vote(networks):
    damaged = networks / "googlenet-mnist.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    lab_models.network_file(networks, model="alexnet")
    *_, last = classify(make_shelf(), EXAMPLES[0][2], dataset="mnist")
    assert [opinion.key for opinion in last.voters] == ["lenet5", "alexnet"]
    trouble = {opinion.key: opinion.trouble for opinion in last.opinions if opinion.trouble}
    assert trouble.keys() == {"googlenet"}
    assert trouble["googlenet"].startswith("googlenet-mnist.safetensors is damaged")
    assert "googlenet-mnist.safetensors is damaged" in vision_lab._opinions(last)
    assert vision_lab._reply(last)["models"]["googlenet"]["error"] == trouble["googlenet"]


def test_a_vote_stops_when_nobody_waits_for_it(networks):
    vote = classify(make_shelf(), EXAMPLES[0][2], dataset="mnist")
    next(vote)
    started = time.monotonic()
    vote.close()
    assert time.monotonic() - started < 0.5


def opinion(label: str, probability: float) -> Opinion:
    return Opinion(label, label, 1998, None, ((label, probability),))


def test_most_votes_win_and_of_equals_the_more_certain():
    assert Ballot("mnist").winner is None
    most = Ballot("mnist", (opinion("1", 0.9), opinion("7", 0.4), opinion("7", 0.5)))
    assert (most.winner, most.agreeing) == ("7", 2)
    equal = Ballot("mnist", (opinion("1", 0.9), opinion("7", 0.4), opinion("1", 0.1), opinion("7", 0.5)))
    assert (equal.winner, equal.agreeing) == ("1", 2)


def test_an_unknown_data_set_or_one_without_networks_is_refused_in_words(networks):
    with pytest.raises(BadInput, match="must be one of"):
        classify(make_shelf(), SMALL, dataset="../../etc")
    with pytest.raises(BadInput, match="python -m jax_models --model lenet5 --dataset fashion_mnist"):
        classify(make_shelf(), EXAMPLES[3][2], dataset="fashion_mnist")


def test_the_reply_is_json_with_models_and_vote(networks):
    *_, last = classify(make_shelf(), EXAMPLES[5][2], dataset="cifar10")
    reply = vision_lab._reply(last)
    assert reply["model"] == "lenet5"
    assert next(answer["label"] for answer in reply["models"]["lenet5"]["top"]) == reply["vote"]["label"]
    assert (reply["vote"]["agreeing"], reply["vote"]["voters"]) == (1, 1)


def test_families_are_named_as_in_the_registry():
    assert {key: spec.title for key, spec in MODELS.items()} == FAMILIES


def test_the_page_says_how_to_train_where_there_is_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(tmp_path))
    panel = vision_lab._missing("mnist")
    assert panel.visible
    assert "python -m jax_models --model lenet5 --dataset mnist" in panel.value
    assert "the folders that <code>SPACE_CHECKPOINTS</code> names" in panel.value
    assert tmp_path.name not in panel.value
    monkeypatch.delenv("SPACE_CHECKPOINTS")
    assert "the folder <code>out</code> where it was started" in how_to_train("No network", "a command")


def test_the_shipped_networks_read_drawn_digits(monkeypatch):
    monkeypatch.delenv("SPACE_CHECKPOINTS", raising=False)
    shelf = make_shelf()
    for title, dataset, url in EXAMPLES:
        if dataset == "mnist":
            *_, last = classify(shelf, url, dataset=dataset)
            assert last.winner == {"A three": "3", "A four": "4", "A seven": "7"}[title]

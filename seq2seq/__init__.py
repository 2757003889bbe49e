"""An LSTM encoder-decoder with attention in Flax NNX: trains on integers, dates or texts, and shows where it looks."""

from seq2seq.configuration import TrainConfig, resolve_config
from seq2seq.decoding import Alignment, align, decode
from seq2seq.learning import train  # the module seq2seq.train is the command only, so the name is free
from seq2seq.model import Seq2Seq
from seq2seq.pairs import Texts, read_texts
from seq2seq.storage import TrainedModel, load_model, save_model

__all__ = [
    "Alignment",
    "Seq2Seq",
    "Texts",
    "TrainConfig",
    "TrainedModel",
    "align",
    "decode",
    "load_model",
    "read_texts",
    "resolve_config",
    "save_model",
    "train",
]

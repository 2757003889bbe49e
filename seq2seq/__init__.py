"""An LSTM encoder-decoder with attention in Flax NNX: trains on sequences of integers, and shows where it looks."""

from seq2seq.configuration import TrainConfig
from seq2seq.decoding import align, decode
from seq2seq.learning import train  # the module seq2seq.train is the command only, so the name is free
from seq2seq.model import Seq2Seq
from seq2seq.storage import TrainedModel, load_model, save_model

__all__ = ["Seq2Seq", "TrainConfig", "TrainedModel", "align", "decode", "load_model", "save_model", "train"]

"""What test accuracy does not tell: how networks fare on corrupted and attacked images, and where they look."""

from benchmarks.probes.attacks import attacked_accuracy
from benchmarks.probes.classifier import Classifier
from benchmarks.probes.corruptions import CORRUPTIONS, REPLACED, corrupt
from benchmarks.probes.robustness import corrupt_all, corrupted_accuracy, fixed_test_images
from benchmarks.probes.saliency import saliency_gallery

__all__ = [
    "CORRUPTIONS",
    "REPLACED",
    "Classifier",
    "attacked_accuracy",
    "corrupt",
    "corrupt_all",
    "corrupted_accuracy",
    "fixed_test_images",
    "saliency_gallery",
]

"""How good translations are: BLEU and chrF as sacreBLEU counts them (arXiv 1804.08771), which others can repeat."""

import dataclasses
from functools import cached_property
from typing import Any

from seq2seq.subwords import MissingPackage


@dataclasses.dataclass(frozen=True)
class TextScore:
    """Outputs beside their references, in sacreBLEU's default tokenisation and casing."""

    sources: tuple[str, ...]
    references: tuple[str, ...]
    outputs: tuple[str, ...]
    beam_size: int

    @cached_property
    def bleu(self) -> tuple[float, str]:
        """Corpus BLEU, 0 to 100, and its signature."""
        return self._corpus("BLEU")

    @cached_property
    def chrf(self) -> tuple[float, str]:
        """Corpus chrF, 0 to 100, and its signature."""
        return self._corpus("CHRF")

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` says of the outputs."""
        exact = sum(map(str.__eq__, self.outputs, self.references))
        return {
            "bleu": self.bleu[0],
            "bleu_signature": self.bleu[1],
            "chrf": self.chrf[0],
            "chrf_signature": self.chrf[1],
            "exact_match": exact / len(self.outputs),
            "errors": len(self.outputs) - exact,
            "test_size": len(self.outputs),
            "beam_size": self.beam_size,
        }

    @property
    def summary(self) -> str:
        """One line for a person."""
        (bleu, signature), (chrf, _) = self.bleu, self.chrf
        return f"{len(self.outputs):,} unseen texts: BLEU {bleu:.2f} ({signature}), chrF {chrf:.2f}"

    def _corpus(self, name: str) -> tuple[float, str]:
        metric = getattr(sacrebleu_metrics(), name)()
        value = metric.corpus_score([*self.outputs], [[*self.references]]).score
        return float(value), str(metric.get_signature())


def sacrebleu_metrics() -> Any:
    """The module `sacrebleu.metrics`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import sacrebleu.metrics
    except ImportError:
        raise MissingPackage("scores of texts need the package sacrebleu: pip install -e '.[text]'") from None
    return sacrebleu.metrics

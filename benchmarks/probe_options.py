"""The flags that ask for more than accuracy, of `benchmarks.compare` and `benchmarks.report`."""

import argparse

PROBES = {
    "robustness": "accuracy on 1,000 test images under 15 corruptions at 5 severities, as in CIFAR-10-C",
    "attacks": "accuracy on them under FGSM and PGD",
    "latency": "time from one image to its class probabilities",
    "saliency": "what each network looks at (SmoothGrad)",
    "examples": "test images that every family gets wrong",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """One flag for each probe, and one for all of them."""
    group = parser.add_argument_group(
        "beyond accuracy, from the stored weights of the lowest seed; kept in OUT/derived"
    )
    for name, words in PROBES.items():
        group.add_argument(f"--{name}", action="store_true", help=words)
    group.add_argument("--in-depth", action="store_true", help="all of these")
    group.add_argument("--again", action="store_true", help="measure anew what is there already")


def chosen(options: argparse.Namespace) -> list[str]:
    """The probes that were asked for."""
    return [name for name in PROBES if options.in_depth or getattr(options, name)]

"""The speed run: CIFAR-10 to 94 % test accuracy on a CPU, as fast as possible, under rules that are printed with it."""

DATASET = "cifar10"

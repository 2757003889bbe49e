"""Our networks and PyTorch's, side by side on the CPU: `python -m benchmarks.speed`."""

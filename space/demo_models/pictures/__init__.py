"""Painted FashionMNIST: pictures and prompts, the parts of the model and what they learn, what a picture shows."""

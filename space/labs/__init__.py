"""The project's own networks, for the vision lab and the attention lab."""

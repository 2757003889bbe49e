"""Which models there are, which of them answers, and how they come into memory and leave it."""

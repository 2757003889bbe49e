"""A Gradio app for Hugging Face Spaces: language and image models to play with, with or without internet."""

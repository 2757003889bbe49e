"""Text to image: pipelines, their settings, and pictures in and out."""

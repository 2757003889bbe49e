"""The tasks of the Space, one file each: its page and its API endpoint. What it computes is in text, images or labs."""

from space.tasks import (
    attention_lab,
    chat,
    next_word,
    question_answering,
    sentiment,
    story,
    summarize,
    text_to_image,
    vision_lab,
)

PAGES = (
    chat.PAGE,
    summarize.PAGE,
    question_answering.PAGE,
    sentiment.PAGE,
    next_word.PAGE,
    story.PAGE,
    text_to_image.PAGE,
    vision_lab.PAGE,
    attention_lab.PAGE,
)

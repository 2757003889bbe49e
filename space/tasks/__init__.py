"""The tasks of the Space, one file each: what it computes, its page and its API endpoint."""

from space.tasks import chat, next_word, story, summarize

PAGES = (summarize.PAGE, next_word.PAGE, story.PAGE, chat.PAGE)

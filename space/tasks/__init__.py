"""The tasks of the Space, one file each: what it computes, its page and its API endpoint."""

from space.tasks import next_word

PAGES = (next_word.PAGE,)

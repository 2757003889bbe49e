"""Recipes that rebuild the offline models of the Space.

Each command is a module here: `sentiment`, `question_answering`, `text_to_image` with `judge_images`, `labs`; without a
name, the base models. `answering` and `pictures` hold what only one of them needs.
"""

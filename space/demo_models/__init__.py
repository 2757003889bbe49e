"""Recipes that rebuild the offline models of the Space."""

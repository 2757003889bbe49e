"""Compares seven CNN families on three data sets: run cells, keep their rows, report."""

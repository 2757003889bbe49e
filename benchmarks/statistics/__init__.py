"""What the seeds and the test images can establish: intervals, tests and ranks of a comparison's accuracies.

Public: `accuracy.estimate_accuracy`, `comparison.compare_families`, `networks.compare_networks`,
`verdicts.compare_all`, `bootstrap.bootstrap_accuracies`, `seeds_needed.seeds_needed` and `ranks.rank_families`. All of
them are pure functions.
"""

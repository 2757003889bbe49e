"""What stored predictions say beyond accuracy: calibration, ROC and PR curves, hard examples, Pareto fronts."""

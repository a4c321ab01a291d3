"""Thermodynamic Probability Filter: SHA-256 opened round by round, predictors, leakage, energy, hits per joule."""

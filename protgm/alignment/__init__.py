"""Structural alignment of CA traces in the order of the sequence: superpositions, dynamic programming, TM-scores."""

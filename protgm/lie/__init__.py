"""Lie groups and the angle laws on them: pure torch, any batch shape."""

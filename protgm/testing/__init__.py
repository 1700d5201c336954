"""Assertions and checks for users' own paths, generators and networks."""

from protgm.testing.equivariance import assert_equivariant
from protgm.testing.kfe import assert_satisfies_kfe, kfe_residual

__all__ = ["assert_equivariant", "assert_satisfies_kfe", "kfe_residual"]

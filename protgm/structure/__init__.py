"""Protein backbones, their frames and geometry, and the files they live in."""

from protgm.structure.backbone import ATOM_NAMES, Backbone
from protgm.structure.errors import StructureError
from protgm.structure.read import read_structure
from protgm.structure.write import write_cif, write_pdb

__all__ = ["ATOM_NAMES", "Backbone", "StructureError", "read_structure", "write_cif", "write_pdb"]

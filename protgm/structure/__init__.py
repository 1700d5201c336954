"""Protein backbones, their frames and geometry, and the files they live in.

`read_structure` makes a `Backbone` of a PDB, mmCIF or BinaryCIF file, compressed or not; `write_pdb` and `write_cif`
(or `Backbone.to_pdb` and `Backbone.to_cif`) write one. Whatever is wrong with a file is a `StructureError`, a
`ValueError` of one line. None of this imports torch; `geometry` (frames, atoms, the carbonyl oxygen) and `torsions` do.
"""

from protgm.structure.backbone import ATOM_NAMES, Backbone
from protgm.structure.errors import StructureError
from protgm.structure.read import read_structure
from protgm.structure.write import write_cif, write_pdb

__all__ = ["ATOM_NAMES", "Backbone", "StructureError", "read_structure", "write_cif", "write_pdb"]

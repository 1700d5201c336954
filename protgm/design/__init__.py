"""Sequences for backbones, by ProteinMPNN (extra ``design``) or any other `Designer`."""

from protgm.design.backbones import design_backbones
from protgm.design.base import Design, Designer
from protgm.design.mpnn import ProteinMPNN
from protgm.design.run import DesignReport, design
from protgm.design.write import write_designs

__all__ = ["Design", "DesignReport", "Designer", "ProteinMPNN", "design", "design_backbones", "write_designs"]

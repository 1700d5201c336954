"""What the figures are called and mean, in the report."""

from __future__ import annotations

__all__ = ["DISTANCES", "HELP", "HISTOGRAMS", "SHOWN"]

#: Columns that the report's table shows at first, where they are known.
SHOWN = (
    "name", "length", "passed", "cluster", "sample_tm", "native_tm", "nearest_native", "helix", "strand",
    "rama_favoured", "rg_ratio", "ca_clashes", "confidence", "mpnn_nll", "designable", "sc_rmsd", "sc_tm", "plddt",
    "reasons",
)  # fmt: skip

#: Figures drawn as histograms against natives.
HISTOGRAMS = {
    "rama_favoured": "Favoured phi/psi",
    "contact_order": "Contact order",
    "helix_length": "Helix length",
    "strand_length": "Strand length",
    "clashes": "Backbone clashes",
    "angle_mad": "Bond angles",
    "native_tm": "Nearest native",
    "mpnn_nll": "Designed sequences",
}

HELP = {
    "name": "file without its ending",
    "length": "residues",
    "chains": "chains in the file",
    "passed": "whether the structure passes the geometry gate",
    "reasons": "why it does not",
    "ca_only": "the file has CA atoms only",
    "confidence": "mean confidence from the B-factor column, 0 to 1",
    "missing": "share of residues without N, CA or C",
    "gaps": "jumps in the residue numbering",
    "breaks": "neighbours by number that are not bonded",
    "cn_ok": "share of C-N bonds within 0.15 A of 1.329 A",
    "cn_worst": "largest deviation of a C-N bond, A",
    "bond_mad": "mean deviation of N-CA and CA-C bonds from Engh & Huber, A",
    "angle_mad": "Mean deviation of bond angles from Engh & Huber, degrees.",
    "angle_worst": "largest deviation of a bond angle, degrees",
    "trans": "share of peptides with |omega| > 150",
    "cis": "share of peptides with |omega| < 30",
    "twisted": "share of peptides neither trans nor cis",
    "handedness": "mean log ratio of phi/psi density to the mirror image's; natives are above 1.5",
    "left_handed": "lowest such ratio over seven residues in a row",
    "rama_favoured": "Share of residues where 90 % of natives' residues are.",
    "rama_outliers": "share of residues where fewer than 1 % of natives' residues are",
    "ca_clashes": "CA pairs closer than 3.5 A per residue",
    "clashes": "Overlapping backbone atoms per residue.",
    "rg": "radius of gyration, A",
    "rg_ratio": "radius of gyration over 2.2 L^0.38 A",
    "end_to_end": "distance between the ends of the chain, A",
    "contact_order": "Mean sequence separation of contacts below 8 A, over the length.",
    "helix": "share of residues in helices",
    "strand": "share of residues in strands",
    "helix_length": "Mean residues of a helix.",
    "strand_length": "Mean residues of a strand.",
    "parallel": "residue pairs in parallel bridges",
    "antiparallel": "residue pairs in antiparallel bridges",
    "cluster": "cluster at TM 0.5; 0 is the largest",
    "pair_tm": "TM-score of two structures, the mean of both normalisations",
    "sample_tm": "TM-score to the nearest other sample, normalised by this one's length",
    "nearest_sample": "the nearest other sample",
    "native_tm": "TM-score to the nearest native, normalised by the sample's length.",
    "native_rmsd": "RMSD of the residues aligned with the nearest native, A",
    "nearest_native": "the nearest native",
    "mpnn_nll": "Negative log-likelihood per residue of the best designed sequence, nats; lower is better.",
    "designable": "whether the best sequence is predicted to fold to less than 2 A from the sample",
    "sc_rmsd": "CA RMSD of the best refolded sequence to the sample, A",
    "sc_tm": "TM-score of the best refolded sequence to the sample",
    "plddt": "mean confidence of the structure prediction, 0 to 100",
}

#: Name and meaning of each distance to natives.
DISTANCES = {
    "dihedrals_js": ("phi/psi, Jensen-Shannon (bits)", "divergence of the phi/psi histograms of all residues"),
    "secondary_js": ("H/E/C, Jensen-Shannon (bits)", "divergence of the shares of helix, strand and coil"),
    "shape_mmd": ("shape, MMD^2", "shares and lengths of helices and strands, relative Rg"),
    "distances_mmd": (
        "CA distance maps, MMD^2",
        "shares of CA distances by sequence separation, a vector each",
    ),
    "distances_frechet": ("CA distance maps, Frechet", "the same vectors, as Gaussians"),
}

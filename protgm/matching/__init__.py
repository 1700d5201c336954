"""Generator matching: paths, generators, superpositions, simulators, losses. No protein in sight."""

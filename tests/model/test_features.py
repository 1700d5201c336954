"""Features of residues and pairs against slow, obvious versions of them."""

from __future__ import annotations

import torch
from e3nn import o3

from protgm.lie.so3 import random_uniform
from protgm.model.features import (
    LOCAL_FEATURES,
    PAIR_FEATURES,
    RELATION_FEATURES,
    local_features,
    pair_features,
    relation_features,
)
from protgm.model.products import rotate, rotate_back, rotate_points


def frames(size: int = 2, length: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return random_uniform((size, length)), torch.randn(size, length, 3)


def test_points_turn_as_single_vectors_do():
    rotations, _ = frames()
    points = torch.randn(2, 12, 5, 3)
    torch.testing.assert_close(rotate_points(rotations, points), rotate(rotations[:, :, None], points))
    torch.testing.assert_close(
        rotate_points(rotations, points, invert=True), rotate_back(rotations[:, :, None], points)
    )


def test_pair_features_are_those_of_one_pair_after_another():
    rotations, translations = frames()
    features = torch.cat(pair_features(rotations, translations), dim=1)
    assert features.shape == (2, PAIR_FEATURES, 12, 12)
    centres, width = torch.linspace(0.2, 2.0, 16), 1.8 / 15
    for i, j in [(0, 5), (5, 0), (3, 4), (11, 2)]:
        offset = rotations[1, i].T @ (translations[1, j] - translations[1, i])
        relative = rotations[1, i].T @ rotations[1, j]
        distance = torch.sqrt(offset.square().sum() + 1e-6)
        direction = offset / distance
        expected = torch.cat(
            (
                torch.exp(-0.5 * ((distance - centres) / width) ** 2),
                torch.stack((distance / (1 + distance), 0.2 / (0.2 + distance))),
                o3.spherical_harmonics([1, 2], direction, normalize=False, normalization="component"),
                o3.spherical_harmonics([1, 2], -relative.T @ direction, normalize=False, normalization="component"),
                relative.flatten(),
            )
        )
        torch.testing.assert_close(features[1, :, i, j], expected, atol=2e-5, rtol=1e-4)


def test_a_relation_is_where_the_other_residue_lies_along_the_chain():
    index, chain = torch.tensor([[1, 2, 9, 400]]), torch.tensor([[0, 0, 0, 1]])
    features = relation_features(index, chain)
    assert features.shape == (1, RELATION_FEATURES, 4, 4)
    assert features[0, :, 0, 1].tolist()[:11] == [0.0] * 6 + [1.0] + [0.0] * 4
    decays = torch.tensor((1.0, 2.0, 4.0, 8.0, 16.0, 32.0))
    torch.testing.assert_close(features[0, 11:17, 2, 0], torch.exp(-8 / decays))
    torch.testing.assert_close(features[0, 17:23, 2, 0], -torch.exp(-8 / decays))
    assert features[0, -1, 2, 0] == 1
    assert not features[0, :, 3, 0].any()


def test_local_features_see_the_two_residues_before_and_after_in_the_same_chain():
    rotations, translations = frames(1, 6)
    index, chain = torch.tensor([[4, 5, 6, 8, 9, 10]]), torch.tensor([[0, 0, 0, 0, 1, 1]])
    features = local_features(rotations, translations, index, chain)
    assert features.shape == (1, 6, LOCAL_FEATURES)
    for i in range(6):
        for slot, step in enumerate((-2, -1, 1, 2)):
            found, j = features[0, i, 13 * slot : 13 * slot + 13], i + step
            if not (0 <= j < 6 and index[0, j] - index[0, i] == step and chain[0, i] == chain[0, j]):
                assert not found.any()
                continue
            offset = rotations[0, i].T @ (translations[0, j] - translations[0, i])
            scaled = offset / torch.sqrt(0.09 + offset @ offset) * torch.log1p(torch.sqrt(offset @ offset + 1e-8) / 0.3)
            expected = torch.cat((scaled, (rotations[0, i].T @ rotations[0, j]).flatten(), torch.ones(1)))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

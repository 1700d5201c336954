"""Generator matching: paths, generators, superpositions, losses, simulators, likelihoods, couplings.

No protein in sight.

The nouns, each importable from here:

- spaces: `Euclidean`, `CentredPoints`, `Torus`, `Rotations`, `Categorical`, `ProductSpace`, `rigid_frames`, `manifold`
  (geomstats);
- paths: `GaussianPath` (with a schedule), `MixturePath`, `GeodesicPath`, `RotationGeodesicPath`, `AntipodalVMFPath`,
  `HeatKernelPath`, `SchroedingerBridgePath`, `MaskingPath`, `UniformPath`, `SourcePath`, `DistancePath`, `ProductPath`;
- generators, which add: `Flow`, `Diffusion`, `Jump`, `Langevin`, `Circulation`, `Balance`, `BackwardFlow`,
  `BackwardJump`, and `ProductGenerator` on products;
- predictors of the posterior: `Known`, `FiniteData`, `FiniteProduct`, `Learned`, `PointPrediction`;
- solvers and controllers: `Euler`, `Heun`, `Midpoint`, `RungeKutta4`, `AdaptiveODE` (torchdiffeq), `Fixed`, `Adaptive`,
  run by `simulate`; `grids` and `saving` beside them;
- losses: `SquaredError`, `GeneralisedKL`, `Cosh`, `RadialCosh`, `Hyperbola`, `Logistic`, `Convex` in
  `generator_matching_loss`; `convert`, `token_rate_loss`;
- likelihoods: `log_likelihood` with `Exact` or `Hutchinson`, `token_elbo`, `jump_elbo`; couplings in `couplings`.

Three rotations, half flow and half jump::

    from protgm.lie import so3
    from protgm.matching import AntipodalVMFPath, FiniteData, Flow, Jump, grids, simulate

    path = AntipodalVMFPath()
    data = FiniteData(path, so3.exp(torch.eye(3)), torch.tensor([0.5, 0.3, 0.2]))
    steps = grids.log_kappa(path.schedule, 100, end=0.4)
    x = simulate(0.5 * Flow(path) + 0.5 * Jump(path), data, path.prior((1000,)), steps)
"""

from protgm.matching import couplings, grids, saving
from protgm.matching.bregman import (
    Bregman,
    Convex,
    Cosh,
    GeneralisedKL,
    Hyperbola,
    Logistic,
    RadialCosh,
    SquaredError,
)
from protgm.matching.clocks import LinearClock, PowerClock
from protgm.matching.couplings import SchroedingerBridgePath
from protgm.matching.ctmc import MaskingPath, UniformPath
from protgm.matching.elbo import jump_elbo, token_elbo
from protgm.matching.euclidean import GaussianPath
from protgm.matching.generators import (
    BackwardFlow,
    BackwardJump,
    Balance,
    Circulation,
    Diffusion,
    Flow,
    Jump,
    Langevin,
    Superposition,
    Term,
)
from protgm.matching.geodesic import GeodesicPath, RotationGeodesicPath
from protgm.matching.geomstats_space import Manifold, manifold
from protgm.matching.kappa import ExponentialKappa, QuadraticKappa
from protgm.matching.likelihood import Exact, Hutchinson, log_likelihood, normal_log_density
from protgm.matching.losses import conditional_target, convert, generator_matching_loss, token_rate_loss
from protgm.matching.method import GeneratorMatching, output_size
from protgm.matching.mixture import MixturePath
from protgm.matching.ode import AdaptiveODE
from protgm.matching.predictions import FiniteData, FiniteProduct, Known, Learned, PointPrediction
from protgm.matching.product import ProductGenerator, ProductPath
from protgm.matching.schedules import CondOT, Cosine, Polynomial, VarianceExploding, VariancePreserving
from protgm.matching.simulate import Adaptive, Euler, Fixed, Heun, Midpoint, simulate
from protgm.matching.so3_heat import HeatKernelPath
from protgm.matching.so3_paths import AntipodalVMFPath
from protgm.matching.solvers import RungeKutta4
from protgm.matching.spaces import Categorical, CentredPoints, Euclidean, ProductSpace, Rotations, Torus, rigid_frames
from protgm.matching.token_paths import DistancePath, KineticClock, SourcePath

__all__ = [
    "Adaptive",
    "AdaptiveODE",
    "AntipodalVMFPath",
    "BackwardFlow",
    "BackwardJump",
    "Balance",
    "Bregman",
    "Categorical",
    "CentredPoints",
    "Circulation",
    "CondOT",
    "Convex",
    "Cosh",
    "Cosine",
    "Diffusion",
    "DistancePath",
    "Euclidean",
    "Euler",
    "Exact",
    "ExponentialKappa",
    "FiniteData",
    "FiniteProduct",
    "Fixed",
    "Flow",
    "GaussianPath",
    "GeneralisedKL",
    "GeneratorMatching",
    "GeodesicPath",
    "HeatKernelPath",
    "Heun",
    "Hutchinson",
    "Hyperbola",
    "Jump",
    "KineticClock",
    "Known",
    "Langevin",
    "Learned",
    "LinearClock",
    "Logistic",
    "Manifold",
    "MaskingPath",
    "Midpoint",
    "MixturePath",
    "PointPrediction",
    "Polynomial",
    "PowerClock",
    "ProductGenerator",
    "ProductPath",
    "ProductSpace",
    "QuadraticKappa",
    "RadialCosh",
    "RotationGeodesicPath",
    "Rotations",
    "RungeKutta4",
    "SchroedingerBridgePath",
    "SourcePath",
    "SquaredError",
    "Superposition",
    "Term",
    "Torus",
    "UniformPath",
    "VarianceExploding",
    "VariancePreserving",
    "conditional_target",
    "convert",
    "couplings",
    "generator_matching_loss",
    "grids",
    "jump_elbo",
    "log_likelihood",
    "manifold",
    "normal_log_density",
    "output_size",
    "rigid_frames",
    "saving",
    "simulate",
    "token_elbo",
    "token_rate_loss",
]

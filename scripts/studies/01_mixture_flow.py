"""Study 1: the flow of the mixture path on the line, learned with squared error."""

import _line
from _common import arguments, write

if __name__ == "__main__":
    options = arguments(__doc__)
    path = _line.BlurredMixturePath()
    flow, posterior, loss = _line.learn(path)
    predictors = {"exact": _line.exact_mixture, "learned": _line.predictor(flow, posterior, blur=False)}
    figure, body = _line.compare(path, predictors, ["flow"], _line.mixture_cdf, options)
    caption = f"""Three narrow modes (standard deviation 0.15) under the mixture path `(1 - t) N(0, 1) + t N(z,
        0.15^2)`, followed to t = 0.98 in 150 midpoint steps even in log(1 - t). Left, the exact marginal velocity: the
        flow is right, to chance. Right, a network trained on the conditional velocity with squared error (1,500 steps
        of 512 points, final loss {loss:.3g}): the velocity is a quotient by a density that is almost zero between noise
        and mode, its squares are ruled by rare large values, and the learned flow loses half of the middle mode.
        Squared error does not do here."""
    write(options, "01_mixture_flow", "Mixture path, flow", figure, caption, body)

"""Study 2: the jump of the mixture path, and its superposition with the flow."""

import _line
from _common import arguments, write

if __name__ == "__main__":
    options = arguments(__doc__)
    path = _line.BlurredMixturePath()
    flow, posterior, _ = _line.learn(path)
    predictors = {"exact": _line.exact_mixture, "learned": _line.predictor(flow, posterior, blur=False)}
    names = ["jump", "0.5 flow + 0.5 jump"]
    figure, body = _line.compare(path, predictors, names, _line.mixture_cdf, options)
    caption = """The path of study 1 with its jump, whose network only has to tell which mode a point belongs to
        (cross-entropy over three, the training of study 1), and the superposition of flow and jump with weights 0.5.
        The learned jump is as good as the exact one. The superposition takes over part of what is wrong with the
        learned flow: adding a good generator to a bad one helps the bad one and harms the good one."""
    write(options, "02_mixture_jump", "Mixture path, jump and superposition", figure, caption, body)

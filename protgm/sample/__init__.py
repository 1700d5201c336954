"""From noise to structure files: the sampler, the work list, the manifest."""

from protgm.sample.generate import BackboneModel, load
from protgm.sample.run import SampleConfig, sample
from protgm.sample.settings import SamplerSettings

__all__ = ["BackboneModel", "SampleConfig", "SamplerSettings", "load", "sample"]

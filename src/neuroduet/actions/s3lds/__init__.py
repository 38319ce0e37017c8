"""Deep generative models of behaviour: labels where there are some, dynamics everywhere.

A family of 2 x 2: classes are a static mixture (GM-DGM) or switch the dynamics of continuous
latents (S3LDS; SLDS without labels), and are inferred from single frames or from the frames around
them. Blau et al., "A study of animal action segmentation algorithms across supervised,
unsupervised, and semi-supervised learning paradigms", 2024.
"""

from neuroduet.actions.model import Family
from neuroduet.actions.s3lds.fitted import fit, fit_slds, restore
from neuroduet.actions.s3lds.options import GMDGMOptions, SLDSOptions, SwitchingOptions

S3LDS = Family(
    options=SwitchingOptions,
    fit=fit,
    restore=restore,
    needs_labels=True,
    uses_unlabelled=True,
)
SLDS = Family(
    options=SLDSOptions,
    fit=fit_slds,
    restore=restore,
    needs_labels=False,
    uses_unlabelled=True,
    uses_labels=False,
)
GMDGM = Family(
    options=GMDGMOptions,
    fit=fit,
    restore=restore,
    needs_labels=True,
    uses_unlabelled=True,
)

__all__ = ["GMDGM", "S3LDS", "SLDS"]

"""Lightning's part of a training: devices, processes, precision and the loop itself."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from neuroduet.training.interrupt import interruptible
from neuroduet.training.module import TrainingModule
from neuroduet.training.steps import Steps


def run_lightning(module: TrainingModule, steps: Steps, out: Path) -> None:
    """Take the steps that are left.

    Args:
        module: What a step is.
        steps: The steps.
        out: Run folder.

    Raises:
        UserError: Training has diverged.
        KeyboardInterrupt: It was interrupted.
    """
    # Lightning's import takes seconds: only training pays for it.
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    training, ranks = module.config.training, steps.ranks
    several = ranks.world > 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        # Of depthwise convolutions, whose kernels have an axis of length 1.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
        trainer = Trainer(
            max_epochs=1,
            min_epochs=0,
            accelerator={"cuda": "gpu"}.get(training.device, training.device),
            devices=ranks.per_node,
            num_nodes=ranks.nodes,
            # A step concerns a few sessions: the stitchers of all others have no gradient.
            strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
            # A script of a batch system is one process unless its launcher says otherwise.
            plugins=None if several else LightningEnvironment(),
            use_distributed_sampler=False,
            precision="bf16-mixed" if training.precision == "bf16" else "32-true",
            logger=TensorBoardLogger(out, name="", version="tensorboard"),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        # Without a collate function the loader would turn tuples into lists.
        loader = DataLoader(
            steps,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=training.workers,
            # Forked processes would inherit the locks of this one's threads.
            multiprocessing_context="spawn" if training.workers else None,
        )
        try:
            with interruptible(module.progress):
                trainer.fit(module, loader)
        except torch.linalg.LinAlgError as error:
            raise module.diverged(f"a matrix cannot be inverted ({error})") from None


def _as_it_is(step: Any) -> Any:
    return step

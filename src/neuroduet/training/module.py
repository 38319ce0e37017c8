"""The Lightning face of training: devices, precision and the loop; numbers come from elsewhere."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from neuroduet.config import Config
from neuroduet.data.batch import plan_epoch
from neuroduet.data.session import Session
from neuroduet.losses import modality_losses
from neuroduet.losses_published import published_losses, published_mtm_losses
from neuroduet.masking import Draw, draw, region_index
from neuroduet.masking.corruption import corrupt
from neuroduet.masking.published import published_masks
from neuroduet.masking.published_mtm import published_mtm_masks
from neuroduet.models import Model
from neuroduet.nn.stitch import module_key
from neuroduet.training.files import write_tensors, write_text
from neuroduet.training.schedule import rate_at
from neuroduet.training.state import MEAN, Progress, WeightAverage, decay_groups, save_checkpoint
from neuroduet.training.validation import to_device, validate
from neuroduet.types import Batch, Masks, Prediction

Part = tuple[Batch, Masks, Batch]
"""True values, masks, and what the model reads: the same values unless masks corrupt some."""

Step = tuple[int, list[Part]]
Row = dict[str, int | float]

GRADUAL_FROZEN = 0.25
"""Fraction of the budget during which gradual finetuning moves stitchers only."""


class Steps(IterableDataset[Step]):
    """Micro-batches and masks of every optimiser step, a pure function of (seed, step)."""

    def __init__(self, sessions: Sequence[Session], config: Config, first: int, last: int) -> None:
        self.sessions, self.config, self.first, self.last = sessions, config, first, last
        self.per_epoch = len(self._plan(0))
        self.regions = [region_index(session.info.regions) for session in sessions]

    def _plan(self, epoch: int) -> list[Any]:
        training = self.config.training
        return plan_epoch(
            self.sessions,
            "train",
            training.batch_size,
            training.sessions_per_batch,
            training.seed,
            epoch,
        )

    def __iter__(self) -> Iterator[Step]:
        seed = self.config.training.seed
        epoch, plan = -1, []
        for step in range(self.first, self.last):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                plan = self._plan(epoch)
            generator = torch.Generator().manual_seed(step_seed(seed, step, 0))
            moving = np.random.default_rng([seed, step])
            parts = []
            for session, windows in plan[step % self.per_epoch]:
                recorded = self.sessions[session]
                batch = recorded.batch(windows, recorded.moves(windows, moving))
                parts.append(draw_part(batch, self.config, generator, self.regions[session]))
            yield step, parts


def draw_part(
    batch: Batch, config: Config, generator: torch.Generator, regions: Tensor | None
) -> Part:
    """A training batch with its masks, of the kind the configuration asks for."""
    masking = config.masking
    if masking.kind == "published":
        if config.model.name == "mtm_published":
            return batch, published_mtm_masks(batch, masking, generator, regions), batch
        masks = published_masks(batch, masking.ratio, generator, config.model.inputs)
        return batch, masks, batch
    source = Draw(
        generator=generator,
        ratio=masking.ratio,
        unit_ratio=masking.unit_ratio,
        regions=regions,
        patch=config.model.patch,
    )
    masks = draw(batch, masking.schemes, source, masking.hide_visible, masking.per)
    shown, masks = corrupt(batch, masks, masking.keep, masking.random, generator)
    return batch, masks, shown


def step_seed(seed: int, step: int, purpose: int) -> int:
    """A seed for one step's masks (0) or dropout (1): resuming needs no generator states."""
    return (seed * 1_000_003 + step) * 2 + purpose


class TrainingModule(lightning.LightningModule):
    """Forward, loss, optimiser, schedule, weight average, validation and checkpoints."""

    def __init__(
        self,
        model: Model,
        sessions: Sequence[Session],
        config: Config,
        out: Path,
        total_steps: int,
        report: Callable[[Progress, float, dict[str, float]], None] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.sessions, self.config, self.out = model, sessions, config, out
        self.total_steps, self.report = total_steps, report
        self.average = WeightAverage(model, config.training.ema)
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            decay_groups(list(model.named_parameters()), config.training.weight_decay),
            lr=config.training.learning_rate,
            betas=config.training.betas,
            fused=True,
        )
        epoch = Steps(sessions, config, 0, 0).per_epoch
        self.validate_every = config.training.validate_every or max(epoch, 50)
        self.rows: list[Row] = []
        self.log_losses: dict[str, float] = {}
        self.clock = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the learning rate is set at every step."""
        return self.optimizer

    def transfer_batch_to_device(
        self, batch: Step, device: torch.device, dataloader_idx: int
    ) -> Step:
        """Move the micro-batches and masks of a step."""
        step, parts = batch
        return step, [
            (to_device(batch, device), _masks_to(masks, device), to_device(shown, device))
            for batch, masks, shown in parts
        ]

    def used(self) -> float:
        """Used fraction of the time budget (0 without one)."""
        minutes = self.config.training.max_minutes
        return 0.0 if minutes is None else self.progress.elapsed_s / (60.0 * minutes)

    def out_of_patience(self) -> bool:
        """Whether the mean score has stalled for too many validations."""
        patience = self.config.training.patience
        return patience is not None and self.progress.stale >= patience

    def finished(self) -> bool:
        """Whether steps, time or patience are used up."""
        return (
            self.progress.step >= self.total_steps or self.used() >= 1.0 or self.out_of_patience()
        )

    def on_fit_start(self) -> None:
        """The weight average is no module, so Lightning leaves it where it was made."""
        self.average.to(self.device)

    def on_train_batch_start(self, batch: Step, batch_idx: int) -> None:
        """Set learning rate, momentum, frozen parts and the seed of this step's dropout."""
        training = self.config.training
        step = batch[0]
        factor = rate_at(step, self.total_steps, self.used(), training)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * training.learning_rate
            if training.cycle_momentum:
                group["betas"] = (0.95 - 0.1 * factor, group["betas"][1])
        fraction = max(step / self.total_steps, self.used())
        frozen = training.finetune == "probe" or (
            training.finetune == "gradual" and fraction < GRADUAL_FROZEN
        )
        self._freeze_core(frozen)
        torch.manual_seed(step_seed(training.seed, step, 1))

    def _freeze_core(self, frozen: bool) -> None:
        own = {id(p) for p in self.model.stitchers()}
        for p in self.model.parameters():
            p.requires_grad_(not frozen or id(p) in own)

    def training_step(self, batch: Step, batch_idx: int) -> Tensor:
        """Loss of one step: micro-batches weigh in by their number of windows."""
        batches, masks, shown = (list(parts) for parts in zip(*batch[1], strict=True))
        predictions = self.model(shown, [m.visible for m in masks], [m.prompt for m in masks])
        losses = self._losses(predictions, batches, masks)
        self.log_losses = {name: float(x.detach()) for name, x in losses.items()}
        return torch.stack(list(losses.values())).sum()

    def _losses(
        self, predictions: list[Prediction], batches: list[Batch], masks: list[Masks]
    ) -> dict[str, Tensor]:
        """Loss per modality; micro-batches weigh in by their number of windows."""
        scales = [self.model.scales(batch.session) for batch in batches]
        if self.config.loss.kind == "published":
            if self.config.model.name == "mtm_published":
                return published_mtm_losses(predictions, batches, masks, scales)
            return published_losses(predictions, batches, masks, scales)
        n_windows = sum(len(batch.windows) for batch in batches)
        losses: dict[str, Tensor] = {}
        for parts in zip(predictions, batches, masks, scales, strict=True):
            prediction, batch, mask, scale = parts
            found = modality_losses(
                prediction, batch, mask, self.model.behaviours, scale, self.config.loss
            )
            for name, value in found.items():
                share = value * (len(batch.windows) / n_windows)
                losses[name] = losses[name] + share if name in losses else share
        return losses

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: Lightning refuses to with 16 bits and a fused optimiser, though bf16 can."""
        if self.config.training.clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.config.training.clip)

    def on_train_batch_end(self, outputs: Any, batch: Step, batch_idx: int) -> None:
        """Count, average weights, and now and then validate and save."""
        self.average.update(self.progress.step)
        self.progress.step += 1
        now = time.monotonic()
        self.progress.elapsed_s += now - self.clock
        self.clock = now
        if self.finished() or self.progress.step % self.validate_every == 0:
            self._validate_and_save()
        if self.finished():
            self.trainer.should_stop = True

    def _validate_and_save(self) -> None:
        """Validate the averaged weights, keep the best, save all."""
        self.model.eval()
        with self.average.applied():
            scores = validate(self.model, self.sessions, self.device, masking=self.config.masking)
            improved = self.progress.record(scores)
            per_target = self.config.training.select == "task"
            weights = dict(self.model.named_parameters())
            for key in [k for k in improved if per_target or k == MEAN]:
                write_tensors(best_path(self.out, key), weights)
        self.model.train()
        self._log_row(scores)
        save_checkpoint(
            self.out / "checkpoints" / "last.safetensors",
            self.model,
            self.average,
            self.optimizer,
            self.progress,
        )
        if self.report is not None:
            fraction = max(self.progress.step / self.total_steps, self.used())
            self.report(self.progress, fraction, scores)

    def _log_row(self, scores: dict[str, float]) -> None:
        row: Row = {"step": self.progress.step, "minutes": self.progress.elapsed_s / 60}
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        row |= {f"train_loss/{name}": value for name, value in self.log_losses.items()}
        row |= {f"valid/{name}": value for name, value in scores.items()}
        self.rows.append(row)
        write_metrics(self.out / "metrics.csv", self.rows)
        for logger in self.loggers:
            logger.log_metrics(row, step=self.progress.step)


def best_path(out: Path, key: str) -> Path:
    """Where the best weights for a target are kept during training."""
    return out / "checkpoints" / f"best-{module_key(key)}.safetensors"


def write_metrics(path: Path, rows: list[Row]) -> None:
    """Write the learning curves as a table, one row per validation."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_metrics(path: Path, up_to_step: int) -> list[Row]:
    """Rows of an earlier part of a run, up to a step."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [{k: _number(k, v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return [row for row in rows if row["step"] <= up_to_step]


def _number(column: str, text: str) -> int | float:
    # The step stays whole, so that a resumed run writes the same table as an unbroken one.
    return int(text) if column == "step" else float(text)


def _masks_to(masks: Masks, device: torch.device) -> Masks:
    return Masks(
        visible={name: x.to(device) for name, x in masks.visible.items()},
        scored={name: x.to(device) for name, x in masks.scored.items()},
        prompt=None if masks.prompt is None else masks.prompt.to(device),
    )

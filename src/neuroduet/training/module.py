"""The Lightning face of training: devices, precision and the loop; numbers come from elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from neuroduet.config import Config
from neuroduet.data.session import Session
from neuroduet.errors import UserError
from neuroduet.losses import modality_losses
from neuroduet.losses_published import published_losses, published_mtm_losses
from neuroduet.models import Model
from neuroduet.nn.stitch import module_key
from neuroduet.training.curves import Row, write_curves
from neuroduet.training.device import batch_to, masks_to
from neuroduet.training.files import write_tensors
from neuroduet.training.ranks import ALONE, Ranks, from_first, gathered
from neuroduet.training.schedule import rate_at
from neuroduet.training.state import MEAN, Progress, WeightAverage, decay_groups, save_checkpoint
from neuroduet.training.steps import RANK_STRIDE, Part, Step, Steps, step_seed
from neuroduet.training.validation import mean_scores, session_scores
from neuroduet.types import Prediction

GRADUAL_FROZEN = 0.25
"""Fraction of the budget during which gradual finetuning moves stitchers only."""

SAVE_EVERY_S = 10.0
"""At the end of an epoch, training saves besides if the last time is longer ago."""


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
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__()
        self.model, self.sessions, self.config, self.out = model, sessions, config, out
        self.total_steps, self.report, self.ranks = total_steps, report, ranks
        self.average = WeightAverage(model, config.training.ema)
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            decay_groups(list(model.named_parameters()), config.training.weight_decay),
            lr=config.training.learning_rate,
            betas=config.training.betas,
            fused=True,
        )
        self.epoch = Steps(sessions, config, 0, 0).per_epoch
        self.validate_every = config.training.validate_every or max(self.epoch, 50)
        self.rows: list[Row] = []
        self.log_losses: dict[str, float] = {}
        self.frozen = False
        self.clock = self.saved = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the learning rate is set at every step."""
        return self.optimizer

    def transfer_batch_to_device(
        self, batch: Step, device: torch.device, dataloader_idx: int
    ) -> Step:
        """Move the micro-batches and masks of a step."""
        step, parts = batch
        return step, [_part_to(part, device) for part in parts]

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
        """Lightning leaves the average where it was made, and of AdamW's state the step counts."""
        self.average.to(self.device)
        for state in self.optimizer.state.values():
            state["step"] = state["step"].to(self.device)  # where the fused kernel looks for it

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
        if frozen != self.frozen:
            self._freeze_core(frozen)
        torch.manual_seed(step_seed(training.seed, step, 1) + self.ranks.rank * RANK_STRIDE)

    def _freeze_core(self, frozen: bool) -> None:
        self.frozen = frozen
        own = {id(p) for p in self.model.stitchers()}
        for p in self.model.parameters():
            p.requires_grad_(not frozen or id(p) in own)

    def training_step(self, batch: Step, batch_idx: int) -> Tensor:
        """Loss of one step: micro-batches weigh in by their number of windows."""
        _, parts = batch
        masks = [part.masks for part in parts]
        predictions = self.model(
            [part.shown for part in parts], [m.visible for m in masks], [m.prompt for m in masks]
        )
        losses = self._losses(predictions, parts)
        values = torch.stack(list(losses.values()))
        self.log_losses = dict(zip(losses, values.tolist(), strict=True))
        for name, value in self.log_losses.items():
            if not math.isfinite(value):
                raise self.diverged(f"the loss of '{name}' is {value}")
        # Gradients are averaged over processes; each computes its share of the sum.
        return values.sum() * self.ranks.world

    def _losses(self, predictions: list[Prediction], parts: list[Part]) -> dict[str, Tensor]:
        """Loss per modality."""
        batches, masks = [part.batch for part in parts], [part.masks for part in parts]
        scales = [self.model.scales(batch.session) for batch in batches]
        if self.config.loss.kind == "published":
            if self.config.model.name == "mtm_published":
                return published_mtm_losses(predictions, batches, masks, scales)
            return published_losses(predictions, batches, masks, scales)
        losses: dict[str, Tensor] = {}
        for prediction, part, scale in zip(predictions, parts, scales, strict=True):
            found = modality_losses(
                prediction, part.batch, part.masks, self.model.behaviours, scale, self.config.loss
            )
            for name, value in found.items():
                share = value * part.weights[name]
                losses[name] = losses[name] + share if name in losses else share
        return losses

    def diverged(self, found: str) -> UserError:
        """The error for numbers that no further step can mend.

        Args:
            found: What is not finite.
        """
        return UserError(
            f"{found} at step {self.progress.step}: training has diverged; lower "
            f"training.learning_rate (it is {self.config.training.learning_rate:g}) or look for "
            f"outliers in the recordings, and train again; {self.out / 'checkpoints'} keeps what "
            "was saved before"
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let averages of weights that rested until now take note of it."""
        self.average.catch_up(self.progress.step)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: Lightning refuses to with 16 bits and a fused optimiser, though bf16 can.

        A gradient that is not finite would spoil weights that no later step can mend.
        """
        limit = self.config.training.clip
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = clip_grad_norm_(parameters, math.inf if limit is None else limit)
        if not bool(norm.isfinite()):
            raise self.diverged(f"the gradient is {float(norm)}")

    def on_train_batch_end(self, outputs: Any, batch: Step, batch_idx: int) -> None:
        """Count, average weights, and now and then validate and save."""
        self.average.update(self.progress.step)
        self.progress.step += 1
        now = time.monotonic()
        self.progress.elapsed_s += now - self.clock
        self.clock = now
        if self.config.training.max_minutes is not None:
            self.progress.elapsed_s = from_first(self.progress.elapsed_s, self.ranks, self.device)
        if self.finished() or self.progress.step % self.validate_every == 0:
            self._validate()
        elif self.progress.step % self.epoch == 0 and now - self.saved > SAVE_EVERY_S:
            self._save()
        if self.finished():
            self.trainer.should_stop = True

    def _validate(self) -> None:
        """Validate the averaged weights, keep the best, save all."""
        self.model.eval()
        self.average.settle(self.progress.step)
        with self.average.applied():
            scores = self._scores()
            improved = self.progress.record(scores)
            per_target = self.config.training.select == "task"
            weights = dict(self.model.named_parameters())
            for key in [k for k in improved if per_target or k == MEAN]:
                if self.ranks.writes:
                    write_tensors(best_path(self.out, key), weights)
        self.model.train()
        losses = gathered(self.log_losses, self.ranks)
        if self.ranks.writes:
            self._log_row(scores, losses)
        self._save()
        if self.report is not None and self.ranks.writes:
            fraction = max(self.progress.step / self.total_steps, self.used())
            self.report(self.progress, fraction, scores)

    def _scores(self) -> dict[str, float]:
        """Validation scores; processes divide the sessions among them."""
        own = self.sessions[self.ranks.rank :: self.ranks.world]
        found = [
            session_scores(self.model, session, self.device, self.config.masking)
            for session in own
        ]
        shares = gathered(found, self.ranks)
        # Back into the order of the sessions, so that sums do not depend on the processes.
        order = range(len(self.sessions))
        return mean_scores([shares[i % len(shares)][i // len(shares)] for i in order])

    def _save(self) -> None:
        if self.ranks.writes:
            path = self.out / "checkpoints" / "last.safetensors"
            save_checkpoint(path, self.model, self.average, self.optimizer, self.progress)
        self.saved = time.monotonic()

    def _log_row(self, scores: dict[str, float], losses: Sequence[dict[str, float]]) -> None:
        """Add a row of scores and of the losses of the last step, which processes share."""
        row: Row = {"step": self.progress.step, "minutes": self.progress.elapsed_s / 60}
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        for name in dict.fromkeys(name for share in losses for name in share):
            row[f"train_loss/{name}"] = sum(share.get(name, 0.0) for share in losses)
        row |= {f"valid/{name}": value for name, value in scores.items()}
        self.rows.append(row)
        write_curves(self.out / "metrics.csv", self.rows)
        for logger in self.loggers:
            logger.log_metrics(row, step=self.progress.step)


def _part_to(part: Part, device: torch.device) -> Part:
    batch = batch_to(part.batch, device)
    # Nearly always the same values, which need not be copied twice.
    shown = batch if part.shown is part.batch else batch_to(part.shown, device)
    return replace(part, batch=batch, masks=masks_to(part.masks, device), shown=shown)


def best_path(out: Path, key: str) -> Path:
    """Where the best weights for a target are kept during training."""
    return out / "checkpoints" / f"best-{module_key(key)}.safetensors"

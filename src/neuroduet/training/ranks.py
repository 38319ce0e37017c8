"""Which of several cooperating processes this one is, and what they tell each other.

``torchrun`` and ``srun`` say so in environment variables; nothing else has to be configured, and a
run folder does not depend on how many processes wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuroduet.errors import UserError

if TYPE_CHECKING:
    import torch

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The place of this process among those that train one model together.

    Attributes:
        rank: Number of this process; 0 writes the run folder.
        world: Number of processes.
        nodes: Number of machines, each with as many processes.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    @property
    def per_node(self) -> int:
        """Processes on each machine."""
        return self.world // self.nodes


ALONE = Ranks()
"""A single process."""


def ranks_of(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read the place of this process from what its launcher says.

    Args:
        environment: Environment variables: those of ``torchrun``, or of a step of ``srun``. A
            batch script outside ``srun`` is a single process.

    Raises:
        UserError: The machines do not run equally many processes, or srun was not told how many
            each of them runs.
    """
    if all(name in environment for name in TORCHRUN):
        rank, world, local = (int(environment[name]) for name in TORCHRUN)
        nodes = max(world // max(local, 1), 1)
    elif all(name in environment for name in SRUN):
        rank, world, nodes = (int(environment[name]) for name in SRUN)
        if world > 1 and "SLURM_NTASKS_PER_NODE" not in environment:
            raise UserError(
                f"srun started {world} tasks without --ntasks-per-node, which says how many of "
                "them each machine has; give it in place of --ntasks"
            )
    else:
        return ALONE
    if world % nodes:
        raise UserError(
            f"found {world} processes on {nodes} machines, expected equally many on each; set "
            "--nproc-per-node of torchrun, or --ntasks-per-node of srun"
        )
    return Ranks(rank=rank, world=world, nodes=nodes)


def gathered(mine: Any, ranks: Ranks) -> list[Any]:
    """One small value from every process, in the order of their ranks."""
    if ranks.world == 1:
        return [mine]
    from torch import distributed

    everyone: list[Any] = [None] * ranks.world
    distributed.all_gather_object(everyone, mine)
    return everyone


def from_first(number: float, ranks: Ranks, device: torch.device) -> float:
    """The number that rank 0 has, for all: clocks differ, and decisions must not."""
    if ranks.world == 1:
        return number
    # The command line asks for ranks before it pays for torch.
    import torch
    from torch import distributed

    shared = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.broadcast(shared, src=0)
    return float(shared)

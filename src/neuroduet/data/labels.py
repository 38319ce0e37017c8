"""Which behaviours the sessions of a run have, and one numbering of classes for all of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from torch_brain.data import Data

from neuroduet.config import BehaviourConfig, WantedBehaviour
from neuroduet.data.binning import finite_rows
from neuroduet.data.columns import column, pieces
from neuroduet.data.schema import (
    behaviour_problems,
    describe_behaviours,
    recording_id,
    source_column,
)
from neuroduet.data.sources import Value, class_values
from neuroduet.errors import UserError
from neuroduet.types import Behaviour

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A behaviour of one session, before the sessions agree on classes.

    Attributes:
        config: Name, source, kind and grain.
        size: Channels; 0 if categorical.
        classes: Values that occur, sorted; empty if continuous.
    """

    config: BehaviourConfig
    size: int
    classes: tuple[Value, ...] = ()


def draft_behaviours(
    recording: Data, wanted: tuple[WantedBehaviour, ...] | None
) -> dict[str, Draft]:
    """Look at the behaviours of one recording.

    Args:
        recording: A checked recording.
        wanted: Behaviours to use; those the recording offers if not given.

    Returns:
        By name; without those the recording lacks, or of which it holds no value at all.

    Raises:
        UserError: A wanted behaviour does not have the kind or grain that was asked for.
    """
    drafts: dict[str, Draft] = {}
    offered = describe_behaviours(recording)
    for one in offered if wanted is None else wanted:
        if one.name in drafts:
            raise UserError(f"behaviour '{one.name}' is named twice; name each once")
        config = _in_full(one, offered, recording_id(recording))
        if config is None or source_column(recording, config.source) is None:
            continue
        problems = list(behaviour_problems(recording, config.source, config.kind, config.per))
        if problems:
            raise UserError(
                f"session {recording_id(recording)}: behaviour '{config.name}': "
                + "; ".join(problems)
            )
        draft = _draft(recording, config)
        if draft is None:
            log.warning("session %s: no value of %s", recording_id(recording), config.name)
        else:
            drafts[config.name] = draft
    return drafts


def _in_full(
    wanted: WantedBehaviour, offered: tuple[BehaviourConfig, ...], session: str
) -> BehaviourConfig | None:
    """A behaviour with what was not said about it taken from what a recording offers.

    Returns:
        ``None`` where the recording offers none of that name.

    Raises:
        UserError: Its source is given, but neither anybody nor the recording says what it is.
    """
    if wanted.source is None:
        own = next((one for one in offered if one.name == wanted.name), None)
        if own is None:
            return None
    else:
        own = next((one for one in offered if one.source == wanted.source), None)
    source = wanted.source or (own and own.source)
    kind, per = wanted.kind or (own and own.kind), wanted.per or (own and own.per)
    if source is None or kind is None or per is None:
        raise UserError(
            f"behaviour '{wanted.name}' is to be read from {source}, which session {session} does "
            "not list among its behaviours; say kind (continuous or categorical) and per (bin or "
            "trial) as well"
        )
    return BehaviourConfig(name=wanted.name, source=source, kind=kind, per=per)


def settle_behaviours(
    drafts: Mapping[str, Mapping[str, Draft]],
    wanted: tuple[WantedBehaviour, ...] | None,
    known: tuple[Behaviour, ...] | None,
) -> dict[str, tuple[Behaviour, ...]]:
    """Give every behaviour the same channels and classes in all sessions.

    Args:
        drafts: By session id, then by name.
        wanted: Behaviours that the configuration asks for.
        known: Behaviours of a trained model; then only these are kept, with their classes.

    Returns:
        Behaviours of each session, by session id.

    Raises:
        UserError: No session has a wanted behaviour, sessions contradict each other, or a class
            is not known to the model.
    """
    names = list(dict.fromkeys(chain.from_iterable(drafts.values())))
    for config in wanted or ():
        if config.name not in names:
            place = "" if config.source is None else f"{config.source} for "
            raise UserError(
                f"no session has {place}behaviour '{config.name}'; `neuroduet inspect` lists what "
                "the recordings hold"
            )
    if known is None:
        common = {name: _union(name, drafts, names) for name in names}
    else:
        common = {behaviour.name: behaviour for behaviour in known}
    used = [name for name in common if name in names]
    return {
        session: tuple(
            _fit(own[name], behaviour, session, used)
            for name, behaviour in common.items()
            if name in own
        )
        for session, own in drafts.items()
    }


def _draft(recording: Data, config: BehaviourConfig) -> Draft | None:
    found = source_column(recording, config.source)
    assert found is not None
    values = column(*found)
    if config.kind == "continuous":
        size = int(np.prod(values.shape[1:], dtype=np.int64))
        some = any(finite_rows(np.asarray(piece, float)).any() for piece in pieces(values))
        return Draft(config=config, size=size) if some and size else None
    classes: set[Value] = set()
    for piece in pieces(values):
        classes |= set(class_values(piece, config.per))
    return Draft(config=config, size=0, classes=tuple(sorted(classes))) if classes else None


def _union(
    name: str, drafts: Mapping[str, Mapping[str, Draft]], names: Sequence[str]
) -> Behaviour:
    """What all sessions with this behaviour, one of ``names``, agree on."""
    own = {session: found[name] for session, found in drafts.items() if name in found}
    (first_session, first), *others = own.items()
    classes = set(first.classes)
    for session, draft in others:
        same = (draft.config.kind, draft.config.per) == (first.config.kind, first.config.per)
        text = {isinstance(value, str) for value in (*first.classes, *draft.classes)}
        if not same or draft.size != first.size or len(text) > 1:
            readable = _is_readable(draft, first.config, first.size or 1) and True not in text
            setting = f"read both as numbers with {_setting(name, 'continuous', names)}, "
            raise UserError(
                f"behaviour '{name}' is {_words(first)} in session {first_session}, but "
                f"{_words(draft)} in session {session}; {setting if readable else ''}give them "
                "different names, or use sessions that agree"
            )
        classes |= set(draft.classes)
    return Behaviour(
        name=name,
        source=first.config.source,
        kind=first.config.kind,
        per=first.config.per,
        size=len(classes) or first.size,
        classes=tuple(sorted(classes)),
    )


def _fit(draft: Draft, common: Behaviour, session: str, names: Sequence[str]) -> Behaviour:
    """The common behaviour, one of ``names``, read from where this session holds it."""
    config = draft.config
    same = (config.kind, config.per) == (common.kind, common.per)
    if not same or (common.kind == "continuous" and draft.size != common.size):
        remedy = "rename it there, or leave it out of data.behaviours"
        if _is_readable(draft, common, common.size):
            setting = _setting(common.name, common.kind, names)
            remedy = f"to read it so, finetune with {setting}"
        raise UserError(
            f"behaviour '{common.name}' is {_words(draft)} in session {session}, but the model "
            f"knows it as {common.kind} per {common.per} of size {common.size}; {remedy}"
        )
    unseen = [value for value in draft.classes if value not in common.classes]
    if unseen:
        raise UserError(
            f"behaviour '{common.name}' has the class {unseen[0]!r} in session {session}, which "
            f"the model has never seen; it knows {', '.join(map(repr, common.classes))}"
        )
    return Behaviour(
        name=common.name,
        source=config.source,
        kind=common.kind,
        per=common.per,
        size=common.size,
        classes=common.classes,
    )


def _is_readable(draft: Draft, other: BehaviourConfig | Behaviour, size: int) -> bool:
    """Whether only the kind is another one, and the values can be read as either."""
    text = any(isinstance(value, str) for value in draft.classes)
    single = (draft.size or size) == 1
    return (
        draft.config.kind != other.kind and draft.config.per == other.per and single and not text
    )


def _setting(name: str, kind: str, names: Sequence[str]) -> str:
    """The setting that takes one of several behaviours for this kind, and keeps the others."""
    said = [f"{{name: {name}, kind: {kind}}}" if one == name else one for one in names]
    return f"--set 'data.behaviours=[{', '.join(said)}]'"


def _words(draft: Draft) -> str:
    channels = f" with {draft.size} channels" if draft.size > 1 else ""
    kind = "text" if any(isinstance(value, str) for value in draft.classes) else "numbers"
    return f"{draft.config.kind} per {draft.config.per} ({kind}){channels}"

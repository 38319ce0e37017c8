"""What an IBL session folder holds, in words and without reading it whole."""

from __future__ import annotations

from collections.abc import Sequence

from neuroduet.data.readers.alf_cameras import TRACKERS, find_pose, find_seen
from neuroduet.data.readers.alf_files import AlfFile, count_rows, find_file
from neuroduet.data.readers.alf_spikes import count_spikes
from neuroduet.data.readers.alf_trials import Trials
from neuroduet.data.readers.alf_units import Sorting, count_units, find_locations
from neuroduet.data.readers.reader import ReadOptions


def describe_spikes(files: Sequence[AlfFile], sortings: Sequence[Sorting]) -> dict[str, str]:
    """Probes, units and spikes, and whether regions are known."""
    if not sortings:
        return {}
    spikes = sum(count_spikes(one) for one in sortings)
    units = [count_units(files, one) for one in sortings]
    said = "unknown" if None in units else f"{sum(filter(None, units)):,}"
    probes = ", ".join(f"{one.probe} ({one.sorter or 'probe folder'})" for one in sortings)
    items = {"spikes": f"{probes}: {said} units, {spikes:,} spikes"}
    if all(find_locations(files, one) for one in sortings):
        items["regions"] = "by channel"
    return items


def describe_trials(trials: Trials | None) -> dict[str, str]:
    """How many trials are kept."""
    if trials is None:
        return {}
    return {"trials": f"{len(trials.columns['start'])} kept"}


def describe_others(files: Sequence[AlfFile], options: ReadOptions) -> dict[str, str]:
    """Wheel, licks and what the cameras saw, with their number of samples."""
    wheel = find_file(files, "wheel", "position")
    licks = find_file(files, "licks", "times")
    items = {}
    if wheel is not None and find_file(files, "wheel", "timestamps") is not None:
        items["wheel"] = f"{count_rows(wheel):,} positions"
    if licks is not None:
        items["licks"] = f"{count_rows(licks):,} licks"
    seen = {
        "whisker": find_seen(files, "ROIMotionEnergy", options.camera),
        "pose": find_pose(files, options.camera),
        "pupil": find_seen(files, "features", options.camera),
        "paw states": find_seen(files, "pawstates", options.camera),
    }
    for name, found in seen.items():
        if found is not None:
            items[name] = f"{found[0]} camera, {count_rows(found[1]):,} frames"
    return items


def other_cameras(files: Sequence[AlfFile], options: ReadOptions) -> list[str]:
    """Pose of other cameras, and of the same camera by another tracker."""
    chosen = find_pose(files, options.camera)
    return [
        f"{file.path.name} ({chosen[1].name} is read; see --camera)"
        for file in files
        if chosen is not None
        and file.object.endswith("Camera")
        and file.attribute in TRACKERS
        and file.path != chosen[1]
    ]

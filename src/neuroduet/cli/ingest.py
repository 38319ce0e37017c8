"""The command that makes recordings: ``neuroduet ingest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from neuroduet.cli.outcomes import print_outcomes
from neuroduet.console import counted, write, write_json
from neuroduet.errors import UserError, unknown
from neuroduet.options import AsJson, among, names

if TYPE_CHECKING:
    from neuroduet.data.readers.reader import ReadOptions
    from neuroduet.ingest import Outcome

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="File, folder or URL; ONE's folder with --one.")
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the recordings.")]
Alf = Annotated[bool, typer.Option("--alf", help="IBL session folders.")]
Nwb = Annotated[bool, typer.Option("--nwb", help="NWB files, or the URL of one.")]
Rows = Annotated[bool, typer.Option("--rows", help="Rows of trials with CSR spikes.")]
Brainsets = Annotated[bool, typer.Option("--brainsets", help="torch_brain files.")]
Mat = Annotated[bool, typer.Option("--mat", help="MATLAB files; needs --mapping.")]
Npz = Annotated[bool, typer.Option("--npz", help="numpy files; needs --mapping.")]
One = Annotated[str | None, typer.Option("--one", metavar="EID", help="IBL session by its id.")]
OneSet = Annotated[
    str | None,
    typer.Option(
        "--one-set",
        metavar="NAME",
        help="neds, neds-train, neds-test, mtm, mtm-train, mtm-test, or a file of ids.",
        autocompletion=among(("neds", "neds-train", "neds-test", "mtm", "mtm-train", "mtm-test")),
    ),
]
Remote = Annotated[
    bool, typer.Option("--remote", help="Download missing IBL sessions into SOURCE.")
]
Mapping = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE", help="Which column is what (YAML).")
]
SessionName = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Name of the only session.")
]
Regions = Annotated[
    str,
    typer.Option(
        "--regions",
        metavar="LEVEL",
        help="allen, beryl or cosmos.",
        autocompletion=among(("allen", "beryl", "cosmos")),
    ),
]
TrialRule = Annotated[
    str,
    typer.Option(
        "--trials",
        metavar="RULE",
        help="Trials to keep: none, neds or mtm.",
        autocompletion=among(("none", "neds", "mtm")),
    ),
]
MinLabel = Annotated[
    float | None, typer.Option("--min-label", metavar="L", help="Drop units below; 1 is good.")
]
MinRate = Annotated[
    float | None, typer.Option("--min-rate", metavar="HZ", help="Drop units that fire less.")
]
Sorter = Annotated[
    str | None, typer.Option("--sorter", metavar="NAME", help="Spike sorting to read.")
]
Probes = Annotated[str | None, typer.Option("--probes", metavar="A,B", help="Probes to read.")]
UnitIds = Annotated[
    str | None, typer.Option("--units", metavar="A,B", help="Ids of units to read.")
]
Camera = Annotated[
    str,
    typer.Option(
        "--camera",
        metavar="NAME",
        help="left, right or body.",
        autocompletion=among(("left", "right", "body")),
    ),
]
Likelihood = Annotated[
    float, typer.Option("--likelihood", metavar="P", help="Keypoints below become missing.")
]
Check = Annotated[bool, typer.Option("--check", help="Say what was found; write nothing.")]
Again = Annotated[bool, typer.Option("--again", help="Replace recordings of before.")]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, help="Sessions read side by side.")
]


OPTIONS = {
    "min_unit_label": "min-label",
    "min_rate_hz": "min-rate",
    "trial_filter": "trials",
    "pose_likelihood": "likelihood",
}
"""Flags that are not called as what they choose."""


def ingest(
    source: Source,
    out: Out,
    alf: Alf = False,
    nwb: Nwb = False,
    rows: Rows = False,
    brainsets: Brainsets = False,
    mat: Mat = False,
    npz: Npz = False,
    one: One = None,
    one_set: OneSet = None,
    remote: Remote = False,
    mapping: Mapping = None,
    session: SessionName = None,
    regions: Regions = "beryl",
    trials: TrialRule = "none",
    min_label: MinLabel = None,
    min_rate: MinRate = None,
    sorter: Sorter = None,
    probes: Probes = None,
    units: UnitIds = None,
    camera: Camera = "left",
    likelihood: Likelihood = 0.9,
    check: Check = False,
    again: Again = False,
    workers: Workers = 1,
    as_json: AsJson = False,
) -> None:
    """Make recordings of the files of a laboratory or an archive."""
    flags = {
        "alf": alf, "nwb": nwb, "rows": rows, "brainsets": brainsets, "mat": mat, "npz": npz,
    }  # fmt: skip
    reader = _chosen(flags, one, one_set)
    options = _options(
        session_id=session,
        mapping=mapping,
        regions=regions,
        trial_filter=trials,
        min_unit_label=min_label,
        min_rate_hz=min_rate,
        sorter=sorter,
        camera=camera,
        pose_likelihood=likelihood,
        probes=names(probes),
        units=names(units),
    )
    sources, failed = _sources(Path(source), _ids(one, one_set), remote)
    outcomes = _made(sources, out, options, reader, again, check, workers) + failed
    _say(outcomes, out, check, as_json)


def _sources(
    source: Path, by_id: tuple[str, ...] | None, remote: bool
) -> tuple[dict[Path, str | None], list[Outcome]]:
    """What to read, with the ids of IBL sessions, and what cannot be."""
    if by_id is not None:
        return _located(source, by_id, remote)
    if remote:
        raise UserError("--remote downloads IBL sessions by their id; add --one or --one-set")
    return {source: None}, []


def _made(
    sources: dict[Path, str | None],
    out: Path,
    options: ReadOptions,
    reader: str | None,
    again: bool,
    check: bool,
    workers: int,
) -> list[Outcome]:
    from neuroduet.ingest import ingest as make_recordings
    from neuroduet.ingest import plan

    jobs = plan(sources, out, options, reader=reader, again=again, check=check)
    with counted("sessions") as report:
        return list(make_recordings(jobs, workers=workers, report=report))


def _chosen(flags: dict[str, bool], one: str | None, one_set: str | None) -> str | None:
    given = [name for name, wanted in flags.items() if wanted]
    given += [name for name, value in (("one", one), ("one-set", one_set)) if value]
    if len(given) > 1:
        said = " and ".join(f"--{name}" for name in given)
        raise UserError(f"{said} name several formats, expected one; leave all but one out")
    if one or one_set:
        return "alf"
    return given[0] if given else None


def _options(**given: Any) -> ReadOptions:
    """The options, with a wrong word answered by the right ones."""
    from pydantic import ValidationError

    from neuroduet.data.readers import reader as contract

    words = {
        "regions": contract.RegionLevel,
        "trial_filter": contract.TrialFilter,
        "camera": contract.Camera,
    }
    for field, known in words.items():
        if given[field] not in get_args(known):
            raise unknown(field.replace("_", " "), given[field], get_args(known))
    try:
        return contract.ReadOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{first['loc'][0]} is {first['input']}; {first['msg'].lower()}") from None


def _ids(one: str | None, one_set: str | None) -> tuple[str, ...] | None:
    from neuroduet.data.readers.one import session_id, session_ids

    if one is not None:
        return (session_id(one),)
    return None if one_set is None else session_ids(one_set)


def _located(
    folder: Path, ids: Sequence[str], remote: bool
) -> tuple[dict[Path, str | None], list[Outcome]]:
    """Session folders with their ids, and the sessions that ONE does not have."""
    from neuroduet.data.readers.one import locate_session, open_one
    from neuroduet.ingest import Outcome

    client = open_one(folder, remote)
    found: dict[Path, str | None] = {}
    failed = []
    for eid in ids:
        try:
            found[locate_session(client, eid)] = eid
        except UserError as error:
            failed.append(
                Outcome(source=eid, session=eid, status="failed", path="", why=str(error))
            )
    return found, failed


def _say_differences(outcomes: Sequence[Outcome]) -> None:
    """That recordings of before were made with other options, in one sentence."""
    stale = [one for one in outcomes if one.differs]
    if stale:
        names = dict.fromkeys(name for one in stale for name in one.differs)
        options = ", ".join(f"--{OPTIONS.get(name, name)}" for name in names)
        one = len(stale) == 1
        who = f"{stale[0].path} was" if one else f"{len(stale)} of these recordings were"
        them = "it" if one else "them"
        write(f"{who} made with another {options}; --again makes {them} anew", stderr=True)


def _say(outcomes: Sequence[Outcome], out: Path, check: bool, as_json: bool) -> None:
    failed = [one for one in outcomes if one.status == "failed"]
    if as_json:
        write_json(outcomes)
    else:
        print_outcomes(outcomes, out, check)
        _say_differences(outcomes)
    if failed:
        raise typer.Exit(2)

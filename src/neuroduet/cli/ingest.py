"""The command that makes recordings: ``neuroduet ingest``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from neuroduet.console import counted, print_table, write
from neuroduet.errors import UserError, unknown
from neuroduet.options import AsJson, names

if TYPE_CHECKING:
    from neuroduet.data.readers.reader import ReadOptions
    from neuroduet.ingest import Outcome, Status

app = typer.Typer(rich_markup_mode=None)

LISTED = 20
"""Sessions of which a dry run prints everything; of more it prints a row each."""


@app.command()
def ingest(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File, folder or URL; ONE's folder with --one.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the recordings.")],
    alf: Annotated[bool, typer.Option("--alf", help="IBL session folders.")] = False,
    nwb: Annotated[bool, typer.Option("--nwb", help="NWB files, or the URL of one.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Rows of trials with CSR spikes.")] = False,
    brainsets: Annotated[bool, typer.Option("--brainsets", help="torch_brain files.")] = False,
    mat: Annotated[bool, typer.Option("--mat", help="MATLAB files; needs --mapping.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="numpy files; needs --mapping.")] = False,
    one: Annotated[
        str | None, typer.Option("--one", metavar="EID", help="IBL session by its id.")
    ] = None,
    one_set: Annotated[
        str | None,
        typer.Option(
            "--one-set",
            metavar="NAME",
            help="neds, neds-train, neds-test, mtm, mtm-train, mtm-test, or a file of ids.",
        ),
    ] = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Download missing IBL sessions into SOURCE.")
    ] = False,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", metavar="FILE", help="Which column is what (YAML).")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="Name of the only session.")
    ] = None,
    regions: Annotated[
        str, typer.Option("--regions", metavar="LEVEL", help="allen, beryl or cosmos.")
    ] = "beryl",
    trials: Annotated[
        str, typer.Option("--trials", metavar="RULE", help="Trials to keep: none, neds or mtm.")
    ] = "none",
    min_label: Annotated[
        float | None, typer.Option("--min-label", metavar="L", help="Drop units below; 1 is good.")
    ] = None,
    min_rate: Annotated[
        float | None, typer.Option("--min-rate", metavar="HZ", help="Drop units that fire less.")
    ] = None,
    sorter: Annotated[
        str | None, typer.Option("--sorter", metavar="NAME", help="Spike sorting to read.")
    ] = None,
    probes: Annotated[
        str | None, typer.Option("--probes", metavar="A,B", help="Probes to read.")
    ] = None,
    units: Annotated[
        str | None, typer.Option("--units", metavar="A,B", help="Ids of units to read.")
    ] = None,
    camera: Annotated[
        str, typer.Option("--camera", metavar="NAME", help="left, right or body.")
    ] = "left",
    likelihood: Annotated[
        float, typer.Option("--likelihood", metavar="P", help="Keypoints below become missing.")
    ] = 0.9,
    check: Annotated[
        bool, typer.Option("--check", help="Say what was found; write nothing.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Replace recordings of before.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="Sessions read side by side.")
    ] = 1,
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
    by_id = _ids(one, one_set)
    if remote and by_id is None:
        raise UserError("--remote downloads IBL sessions by their id; add --one or --one-set")
    from neuroduet.ingest import ingest as make_recordings
    from neuroduet.ingest import plan

    failed: list[Outcome] = []
    sources: dict[Path, str | None] = {Path(source): None}
    if by_id is not None:
        sources, failed = _located(Path(source), by_id, remote)
    jobs = plan(sources, out, options, reader=reader, again=again, check=check)
    with counted("sessions") as report:
        outcomes = [*make_recordings(jobs, workers=workers, report=report), *failed]
    _say(outcomes, out, check, as_json)


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


def _say(outcomes: Sequence[Outcome], out: Path, check: bool, as_json: bool) -> None:
    failed = [one for one in outcomes if one.status == "failed"]
    if as_json:
        write(json.dumps([one.as_dict() for one in outcomes], indent=1))
    else:
        _print(outcomes, out, check)
    if failed:
        raise typer.Exit(2)


def _print(outcomes: Sequence[Outcome], out: Path, check: bool) -> None:
    if check:
        for one in outcomes[:LISTED]:
            _print_found(one)
        if len(outcomes) > LISTED:
            write(f"... and {len(outcomes) - LISTED} more; --json lists them all")
    counts = Counter(one.status for one in outcomes)
    said: dict[Status, str] = {
        "found": "looked at, nothing written",
        "written": f"written into {out}",
        "there": "left as they were (replace them: --again)",
        "failed": "failed",
    }
    for status, text in said.items():
        if counts[status]:
            number = counts[status]
            write(f"{number} session{'' if number == 1 else 's'} {text}")
    for one in outcomes:
        if one.status == "failed":
            write(f"failed: {one.why}", stderr=True)


def _print_found(one: Outcome) -> None:
    if one.found is None:
        return
    rows = [(name, text) for name, text in one.found.items.items()]
    rows += [(name, "missing") for name in one.found.missing]
    rows += [("left out", text) for text in one.found.dropped]
    print_table((one.session, one.source), rows)
    write("")

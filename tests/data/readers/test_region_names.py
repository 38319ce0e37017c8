from __future__ import annotations

import numpy as np
import pytest

from neuroduet.data.readers.regions import region_names, region_table, rename_regions

COSMOS = {"CB", "CNU", "CTXsp", "HB", "HPF", "HY", "Isocortex", "MB", "OLF", "TH", "root", "void"}


@pytest.mark.parametrize(
    ("number", "allen", "beryl", "cosmos"),
    [
        (382, "CA1", "CA1", "HPF"),
        (385, "VISp", "VISp", "Isocortex"),
        (778, "VISp5", "VISp", "Isocortex"),
        (672, "CP", "CP", "CNU"),
        (733, "VPM", "VPM", "TH"),
        (218, "LP", "LP", "TH"),
        (10, "SCig", "SCm", "MB"),
        (466, "alv", "root", "root"),
        (997, "root", "root", "root"),
        (0, "void", "void", "void"),
    ],
)
def test_regions_known_by_heart_have_their_names(
    number: int, allen: str, beryl: str, cosmos: str
) -> None:
    for level, expected in (("allen", allen), ("beryl", beryl), ("cosmos", cosmos)):
        for ids in ([number], [-number]):
            names, unknown = region_names(np.array(ids), level)
            assert names.tolist() == [expected]
            assert unknown == ()


def test_the_table_has_the_levels_of_the_benchmark() -> None:
    table = region_table()
    assert len(table) == 1328
    assert {region.cosmos for region in table.values()} == COSMOS
    assert len({region.beryl for region in table.values()}) == 308


def test_coarser_levels_are_regions_of_the_table_and_stay_what_they_are() -> None:
    allen = {region.allen: region for region in region_table().values()}
    for region in region_table().values():
        assert allen[region.beryl].beryl == region.beryl
        assert allen[region.cosmos].cosmos == region.cosmos
        assert allen[region.beryl].cosmos in {region.cosmos, "root"}


def test_unknown_ids_and_names_are_kept_and_said() -> None:
    names, unknown = region_names(np.array([382, 123456789, -123456789]), "cosmos")
    assert names.tolist() == ["HPF", "allen-123456789", "allen-123456789"]
    assert unknown == ("allen-123456789",)
    names, unknown = rename_regions(["SCig", "M1", "unknown", "M1"], "beryl")
    assert names.tolist() == ["SCm", "M1", "unknown", "M1"]
    assert unknown == ("M1",)

"""What is given to a public function in place of what it takes is told in one sentence.

The calls run in a process of their own, where no annotation is checked, as at a user's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = {
    "neuroduet.save('m.h5', recording)":
        "path is an object of type Data, expected a path; write save(recording, path)",
    "neuroduet.save(3, 'm.h5')": "recording is 3 (int), expected a recording; open its file",
    "neuroduet.load(recording)": "path is an object of type Data, expected a path; give its path",
    "neuroduet.check('m.h5')":
        "recording is 'm.h5' (str), expected a recording; open its file with neuroduet.load",
    "neuroduet.describe(recording)": "path is an object of type Data, expected a path",
    "neuroduet.to_pandas('m.h5')": "recording is 'm.h5' (str), expected a recording",
    "neuroduet.to_xarray('m.h5')": "recording is 'm.h5' (str), expected a recording",
    "neuroduet.to_pynapple('m.h5')": "recording is 'm.h5' (str), expected a recording",
    "neuroduet.windows(recording)":
        "path is an object of type Data, expected a path; give one recording",
    "neuroduet.open_sessions(['a.h5'])": "path is ['a.h5'] (list), expected a path",
    "neuroduet.open_sessions('m.h5', 'duet')": "config is 'duet' (str), expected a configuration",
    "neuroduet.open_sessions('m.h5', neuroduet.presets.duet)":
        "config is the function duet, expected a configuration; give",
    "neuroduet.Decoder().save_pretrained(3)": "folder is 3 (int), expected a path",
    "neuroduet.Encoder.from_pretrained(3)": "source is 3 (int), expected a path; give a folder,",
    "neuroduet.from_pretrained(3)": "source is 3 (int), expected a path; give a folder,",
    "neuroduet.read_predictions(recording)": "source is an object of type Data, expected a path",
    "neuroduet.load_config(neuroduet.Config())":
        "path is an object of type Config, expected a path",
    "neuroduet.simulate(3, 1, 0)": "out is 3 (int), expected a path",
    "neuroduet.ingest.choose_reader(['m'])": "path is ['m'] (list), expected a path",
    "neuroduet.ingest.choose_reader('nowhere')": "nothing at nowhere, expected a file or a folder",
    "neuroduet.override('duet', 'a=1')":
        "config is 'duet' (str), expected a configuration; give for example neuroduet.PRESETS",
    "neuroduet.override(neuroduet.Config, [])": "config is the class Config, expected",
    "neuroduet.override(neuroduet.Config(), 'a=1')":
        "unknown configuration key 'a'; did you mean 'data'?",
    "neuroduet.override(neuroduet.Config(), [('a', 1)])":
        "settings is [('a', 1)] (list), expected 'section.key=value', a list of those, or a",
    "neuroduet.override(neuroduet.Config(), {'training.seed': recording})":
        "setting 'training.seed' is a Data, expected a number, text, list or dict",
    "neuroduet.override(neuroduet.Config(), {3: 1})": "a setting is 3 (int), expected section.key",
    "neuroduet.from_arrays(session_id='s', counts=counts, bin_size_s='20 ms')":
        "bin_size_s is '20 ms' (str), expected a number of seconds; write 0.02 for 20 ms",
    "neuroduet.from_arrays(session_id=7, counts=counts, bin_size_s=1)":
        "session_id is 7 (int), expected a name as text; write for example session_id='mouse1'",
    "neuroduet.from_arrays(session_id='s', counts=counts, bin_size_s=1, units=['CA1', 'CA1'])":
        "units is ['CA1', 'CA1'] (list), expected columns by name; write for",
    "neuroduet.from_arrays(session_id='s', counts=counts, bin_size_s=1, behaviours=counts)":
        "behaviours is an object of type ndarray, expected columns by name",
    "neuroduet.from_arrays(session_id='s', spike_times=times * 1e3, spike_units=times * 0,"
    " trials={'start': [1.0, 2.0], 'end': [2.0, 3.0]})":
        "spike_units is of type float64, expected integers or unit ids",
}  # fmt: skip

SCRIPT = """
import json, sys, warnings
import numpy as np
import neuroduet

counts, times = np.ones((4, 10, 2), int), np.arange(0, 3, 0.01)
recording = neuroduet.from_arrays(session_id="s", counts=counts, bin_size_s=0.1)

def told(call):
    try:
        return f"no error: {eval(call)!r}"
    except neuroduet.UserError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    neuroduet.from_arrays(session_id="s", spike_times=[times * 1e5], bin_size_s=0.02,
        trials={"start": [1.0, 2.0], "end": [2.0, 3.0]})
found = {call: told(call) for call in json.load(sys.stdin)}
print(json.dumps(found | {"caught": [one.filename for one in caught]}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "user.py").write_text(SCRIPT)
    found = subprocess.run(
        [sys.executable, "user.py"],
        cwd=folder,
        input=json.dumps(list(CALLS)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [file.name for file in folder.iterdir()] == ["user.py"]
    return dict(json.loads(found.stdout))


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_told_in_one_sentence(call: str, told: dict[str, str]) -> None:
    assert told[call].startswith(CALLS[call])
    assert "\n" not in told[call]


def test_a_doubt_names_the_line_of_the_user(told: dict[str, str]) -> None:
    assert [Path(file).name for file in told["caught"]] == ["user.py"]

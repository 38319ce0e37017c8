from __future__ import annotations

import subprocess
import sys

import pytest

import neuroduet.data


@pytest.mark.parametrize("name", neuroduet.data.__all__)
def test_every_public_name_exists(name):
    assert callable(getattr(neuroduet.data, name))


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opens'"):
        _ = neuroduet.data.opens


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, neuroduet.data; print({'numpy', 'torch', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""What every method must do; a new one is tested as soon as its file exists.

The checks are those of `vireid.testing`, with which anybody tests a method outside of the package.
"""

import pkgutil
from importlib import import_module

import pytest

from vireid import methods
from vireid.testing import CHECKS, small

NAMES = [info.name for info in pkgutil.iter_modules(methods.__path__) if info.name != "base"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_method(check, name):
    check(small(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_method_says_where_it_is_from_and_what_was_published(name):
    module = import_module(f"vireid.methods.{name}")
    assert "https://" in module.__doc__
    assert "ublished" in module.__doc__

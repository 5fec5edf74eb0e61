"""A plugin for pytest: synthetic people as fixtures, made once and kept in pytest's cache.

    def test_problem_list(fhirsynth_person):
        assert render(fhirsynth_person.bundle)

    @pytest.mark.fhirsynth(n=5, seed=3, condition="asthma")
    def test_recall(fhirsynth_population):
        assert len(due(fhirsynth_population)) <= 5

    def test_two_of_them(fhirsynth):
        old = fhirsynth.person(condition="type-2-diabetes", age=(60, 80), seed=1)
        young = fhirsynth.person(age=(18, 30))

Every pytest of an environment that holds fhirsynth loads this, so that importing it loads nothing heavy: what makes
people is imported when the first test asks for people who are not in the cache.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, Unpack

import pytest

from fhirsynth.errors import FhirsynthError
from fhirsynth.pytest_plugin.cache import Cache
from fhirsynth.pytest_plugin.options import Options, PopulationOptions
from fhirsynth.pytest_plugin.people import People, Person

__all__ = ["Fhirsynth", "Options", "People", "Person", "PopulationOptions"]

#: What a population that is not told how many has; enough for two sexes and several ages.
_PEOPLE = 10
#: Options of the marker that say nothing about a single person.
_OF_MANY = ("n", "deceased")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "fhirsynth(n, seed, condition, age, sex, region, years, index_date, deceased, letters): whom the fixtures "
        "fhirsynth_person and fhirsynth_population make for this test.",
    )


class Fhirsynth:
    """Makes people for tests. The fixture `fhirsynth` is one of these.

    The same options give the same people, in every session and on every machine with the same version of fhirsynth.
    What is returned is the test's own. Options that cannot be (a condition that is not known, an age of 200) fail the
    test with one line that names it and what was expected.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache = Cache(config)

    def person(self, **options: Unpack[Options]) -> Person:
        """One living person.

        `age` in years on the index date, a number or (lowest, highest); `condition` one key or several, all of which
        the person has. With `letters` the person's hospital stays have letters: not everybody has had one.
        """
        return self._made(1, options, Options.__optional_keys__)[0]

    def population(self, **options: Unpack[PopulationOptions]) -> People:
        """`n` living people (by default 10); with `deceased` those who died within the years of history after them."""
        return self._made(_PEOPLE, options, PopulationOptions.__optional_keys__)

    def _made(self, n: int, options: Mapping[str, Any], known: Collection[str]) -> People:
        for name in options:
            if name not in known:
                _fail(f"there is no option {name!r} here; expected some of {', '.join(sorted(known))}")
        try:
            return People(self._cache.archive({"n": n, "deceased": False, "letters": False, **options}))
        except FhirsynthError as error:
            problem = str(error)
        _fail(problem)


def _fail(problem: str) -> NoReturn:
    """Fail the test that is running with one line and no traceback: what is wrong stands in the test, not here."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]  # "file::test (setup)"
    pytest.fail(f"{test}: fhirsynth: {problem}" if test else f"fhirsynth: {problem}", pytrace=False)


@pytest.fixture(scope="session")
def fhirsynth(pytestconfig: pytest.Config) -> Fhirsynth:
    """Makes synthetic people: fhirsynth.person(condition="asthma", age=(60, 80)), fhirsynth.population(n=5, seed=3)."""
    return Fhirsynth(pytestconfig)


@pytest.fixture
def fhirsynth_person(request: pytest.FixtureRequest, fhirsynth: Fhirsynth) -> Person:
    """A synthetic person as UK Core FHIR: whom @pytest.mark.fhirsynth(condition="asthma", age=(60, 80)) asks for."""
    marked = {name: value for name, value in _marked(request).items() if name not in _OF_MANY}
    return fhirsynth.person(**_with_parameters(request, marked))


@pytest.fixture
def fhirsynth_population(request: pytest.FixtureRequest, fhirsynth: Fhirsynth) -> People:
    """Synthetic people as UK Core FHIR: ten, or whom @pytest.mark.fhirsynth(n=5, condition="asthma") asks for."""
    return fhirsynth.population(**_with_parameters(request, _marked(request)))


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a test's marker, over those of its class and module."""
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("fhirsynth"):  # the closest first
        if marker.args:
            _fail(f"the marker takes options by name, such as @pytest.mark.fhirsynth(n=5); found {marker.args[0]!r}")
        options = {**marker.kwargs, **options}
    return options


def _with_parameters(request: pytest.FixtureRequest, options: dict[str, Any]) -> Any:
    """The options under those that `parametrize` gives to the fixture."""
    given = getattr(request, "param", {})
    if not isinstance(given, dict):
        _fail(f"parametrize {request.fixturename} with dicts of options, such as {{'seed': 2}}; found {given!r}")
    return {**options, **given}

"""The population model against its published margins, and the sampler against exact inference by pgmpy."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth.knowledge import load
from fhirsynth.population import REGIONS, demography, network, nodes
from fhirsynth.population import model as population
from fhirsynth.population.statistics import rows

N = 200_000


@pytest.fixture(scope="module")
def knowledge():
    return load()


@pytest.fixture(scope="module")
def model(knowledge):
    return population.load_model(knowledge)


@pytest.fixture(scope="module")
def people(model):
    return model.sample(N, np.random.default_rng(11))


@pytest.fixture(scope="module")
def exact(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pgmpy.inference import VariableElimination

        network = model.as_pgmpy()
        assert network.check_model()
        return VariableElimination(network)


def close(share, expected, n, sigmas=4.5):
    """Whether a sample share is within sampling error of what is expected."""
    return np.all(np.abs(share - expected) <= sigmas * np.sqrt(expected * (1 - expected) / n) + 3 / n)


def shares(codes, states):
    return np.bincount(codes, minlength=len(states)) / len(codes)


# --- margins -------------------------------------------------------------------------------------


def test_every_condition_has_exactly_its_target_in_every_band_and_sex(knowledge, model):
    for key in model.conditions:
        target = network.targets(knowledge, knowledge.conditions[key], model.edges)
        np.testing.assert_allclose(model.prevalence(key), target, rtol=1e-9, atol=1e-14, err_msg=key)


def test_ten_year_means_are_the_published_prevalence(knowledge):
    weights = demography.age_weights(knowledge)
    table = {(r["code"], r["sex"]): r for r in rows(knowledge, "conditions_kuan")}
    checked = 0
    for key, condition in network.conditions_of(knowledge).items():
        curve = network.prevalence_by_age(knowledge, condition)
        for (column, sex), low in itertools.product(enumerate(nodes.SEXES), range(0, 90, 10)):
            if low < network.youngest(condition) or low + 9 > condition.max_age:
                continue
            if condition.sex not in (None, sex):
                continue
            band = slice(low, low + 10) if low < 80 else slice(80, None)
            name = f"{low}-{low + 9}" if low < 80 else "80+"
            row = table.get((condition.prevalence.code, sex))
            published = float(row[name]) / 10_000 if row else 0.0
            mean = np.average(curve[band, column], weights=weights[band, column])
            # Prevalence above 0.98 is cut in single years of age, which none of the conditions reaches.
            assert mean == pytest.approx(published, rel=1e-9, abs=1e-12), (key, sex, name)
            checked += 1
    assert checked > 500


def test_age_limits_and_sex_hold_without_exception(knowledge, model, people):
    sex = np.array(model.states["sex"])[people["sex"]]
    for key in model.conditions:
        condition = knowledge.conditions[key]
        age = people["age"][people[key] == 1]
        assert age.size == 0 or (age.min() >= network.youngest(condition) and age.max() <= condition.max_age), key
        if condition.sex is not None:
            assert set(sex[people[key] == 1]) <= {condition.sex}, key


def test_children_neither_smoke_nor_drink_nor_marry(model, people):
    child = people["age"] < nodes.ADULT
    for node, state in (("smoking", "never"), ("alcohol", "none"), ("marital_status", "single")):
        assert set(people[node][child].tolist()) == {model.states[node].index(state)}
    assert 0.005 < (people["bmi"][child] == model.states["bmi"].index("underweight")).mean() < 0.03
    assert 0.1 < (people["bmi"][child] == model.states["bmi"].index("obese")).mean() < 0.25


def test_habits_have_the_published_share_in_every_band_and_sex(knowledge, model, exact):
    table = {}
    for r in rows(knowledge, "population_habits"):
        table.setdefault((r["node"], int(r["age"]), r["sex"]), []).append(float(r["percent"]) / 100)
    for node, low, sex in [
        ("bmi", 45, "female"),
        ("smoking", 25, "male"),
        ("alcohol", 65, "female"),
        ("bmi", 10, "male"),
    ]:
        band = model.states["age_band"][model.edges.index(low)]
        found = exact.query([node], {"age_band": band, "sex": sex}, show_progress=False).values
        np.testing.assert_allclose(found, table[node, low, sex], atol=2e-4)


def test_ages_and_regions_follow_the_census(knowledge, model, people):
    weights = demography.age_weights(knowledge)
    assert close(np.bincount(people["age"], minlength=111) / N, weights.sum(axis=1) / weights.sum(), N)
    table = rows(knowledge, "population_region")
    by_region = np.array([sum(float(r[x]) for r in table) for x in REGIONS])
    # Regions are of 2020, ages of 2023: within half a point.
    assert np.abs(shares(people["region"], REGIONS) - by_region / by_region.sum()).max() < 0.005


def test_ethnic_groups_keep_their_regional_shares(knowledge, model, exact):
    table = rows(knowledge, "population_ethnic_category")
    for region in ("london", "north-east"):
        total = sum(float(r[region]) for r in table)
        wanted = [sum(float(r[region]) for r in table if r["group"] == g) / total for g in nodes.GROUPS]
        found = exact.query(["ethnic_group"], {"region": region}, show_progress=False).values
        np.testing.assert_allclose(found, wanted, atol=0.003)


# --- the sampler against pgmpy -------------------------------------------------------------------


def test_sample_marginals_equal_exact_ones(model, people, exact):
    for node in ("sex", "imd", "ethnic_category", "household", "language", "smoking", "bmi", "hypertension"):
        expected = exact.query([node], show_progress=False)
        order = [expected.state_names[node].index(state) for state in model.states[node]]
        assert close(shares(people[node], model.states[node]), expected.values[order], N), node


@pytest.mark.parametrize(
    ("node", "given_states"),
    [
        ("type-2-diabetes", {"ethnic_group": "south-asian", "bmi": "obese"}),
        ("copd", {"smoking": "current", "sex": "male"}),
        ("heart-failure", {"coronary-heart-disease": "present"}),
        ("household", {"marital_status": "widowed"}),
        ("imd", {"ethnic_group": "black"}),
    ],
)
def test_sample_conditionals_equal_exact_ones(model, people, exact, node, given_states):
    chosen = np.ones(N, bool)
    for name, state in given_states.items():
        chosen &= people[name] == model.states[name].index(state)
    expected = exact.query([node], given_states, show_progress=False).values
    assert close(shares(people[node][chosen], model.states[node]), expected, chosen.sum())


@pytest.mark.parametrize(
    "evidence",
    [
        {"heart-failure": "present"},
        {"dementia": "present", "type-2-diabetes": "present"},
        {"copd": "present", "smoking": "never", "depression": "absent"},
        {"gout": "present", "asthma": "present", "chronic-kidney-disease": "present", "region": "london"},
    ],
)
def test_draws_given_evidence_follow_the_exact_posterior(model, exact, evidence):
    n = 40_000
    people = model.sample(n, np.random.default_rng(5), evidence)
    for name, state in evidence.items():
        assert (people[name] == model.states[name].index(state)).all()
    for node in ("age_band", "sex", "ethnic_group", "bmi", "hypertension", "region", "imd", "anxiety"):
        if node not in evidence:
            expected = exact.query([node], evidence, show_progress=False)
            order = [expected.state_names[node].index(state) for state in model.states[node]]
            assert close(shares(people[node], model.states[node]), expected.values[order], n), node
    pair = exact.query(["sex", "bmi"], evidence, show_progress=False)
    assert pair.variables == ["sex", "bmi"]
    found = np.bincount(people["sex"] * 4 + people["bmi"], minlength=8) / n
    assert close(found, pair.values.reshape(-1), n)


def test_chance_of_evidence_is_exact(model, exact):
    chance = model.posterior(model.codes_of({"stroke": True, "atrial-fibrillation": True})).chance
    pair = exact.query(["stroke", "atrial-fibrillation"], {"age_band": "70-74", "sex": "male"}, show_progress=False)
    both = pair.get_value(**{"stroke": "present", "atrial-fibrillation": "present"})
    assert chance.reshape(-1, 2)[model.edges.index(70), 1] == pytest.approx(both, rel=1e-9)


# --- limits and errors ---------------------------------------------------------------------------


def test_limits_of_age_sex_and_region(model):
    people = model.sample(5_000, np.random.default_rng(2), {"asthma": True}, (17, 23), "female", "south-west")
    assert people["age"].min() == 17 and people["age"].max() == 23
    assert set(people["sex"].tolist()) == {0}
    assert {model.states["region"][r] for r in people["region"]} == {"south-west"}
    assert people["asthma"].all()


def test_conditions_that_exclude_each_other_are_named(model):
    with pytest.raises(ValueError, match="prostate-cancer and endometriosis"):
        model.sample(1, np.random.default_rng(1), {"prostate-cancer": True, "endometriosis": True})
    with pytest.raises(ValueError, match="aged 0 to 5"):
        model.sample(1, np.random.default_rng(1), {"dementia": True}, age=(0, 5))


def test_unknown_names_are_refused(model):
    with pytest.raises(ValueError, match="plague"):
        model.codes_of({"plague": True})
    with pytest.raises(ValueError, match="atlantis.*north-east"):
        model.codes_of({}, "atlantis")


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_few_conditions_together_are_drawn_or_refused(model, knowledge, data):
    keys = data.draw(st.lists(st.sampled_from(model.conditions), min_size=1, max_size=4, unique=True))
    sexes = {knowledge.conditions[key].sex for key in keys} - {None}
    youngest = max(network.youngest(knowledge.conditions[key]) for key in keys)
    try:
        people = model.sample(20, np.random.default_rng(1), dict.fromkeys(keys, True))
    except ValueError as error:
        assert all(key in str(error) for key in keys)
        assert len(sexes) == 2 or youngest > min(knowledge.conditions[key].max_age for key in keys)
    else:
        assert all(people[key].all() for key in keys)
        assert people["age"].min() >= youngest


def altered(knowledge, key, **changes):
    condition = knowledge.conditions[key].model_copy(update=changes)
    return dataclasses.replace(knowledge, conditions={**knowledge.conditions, key: condition})


def test_circles_and_unknown_parents_are_named(knowledge):
    because = knowledge.conditions["heart-failure"].because[0]
    circle = [because.model_copy(update={"of": "heart-failure"})]
    with pytest.raises(ValueError, match=r"circle: .*hypertension"):
        network.conditions_of(altered(knowledge, "hypertension", because=circle))
    for parent in ("plague", "smoking=sometimes"):
        wrong = [because.model_copy(update={"of": parent})]
        with pytest.raises(ValueError, match=f"gout.*{parent}"):
            network.build_nodes(altered(knowledge, "gout", because=wrong))


def test_unknown_prevalence_code_is_named(knowledge):
    prevalence = knowledge.conditions["gout"].prevalence.model_copy(update={"code": "nothing"})
    with pytest.raises(ValueError, match=r"gout.*nothing"):
        network.prevalence_by_age(knowledge, altered(knowledge, "gout", prevalence=prevalence).conditions["gout"])


# --- keeping -------------------------------------------------------------------------------------


def test_the_stored_model_is_what_the_knowledge_files_give(knowledge):
    data = population.files("fhirsynth.population").joinpath(population.STORED).read_bytes()
    stored = population.PopulationModel.from_bytes(data)
    built = population.build(knowledge)
    assert stored.digest == built.digest, "run scripts/build_population_model.py"
    assert stored.states == built.states and stored.parents == built.parents
    for name, node in built.node.items():
        kept = stored.node[name]
        values = (kept.table, node.table) if node.table is not None else (kept.intercept, node.intercept)
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert len(data) < 3_000_000


def test_same_model_same_bytes(model):
    assert model.to_bytes() == model.to_bytes()
    assert population.PopulationModel.from_bytes(model.to_bytes(), "another digest") is None


def test_changed_knowledge_is_built_once_and_kept(knowledge, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(population, "cache_folder", lambda: tmp_path / "cache")
    because = [b.model_copy(update={"odds_ratio": b.odds_ratio * 2}) for b in knowledge.conditions["gout"].because]
    changed = altered(knowledge, "gout", because=because)
    caplog.set_level("INFO")
    first = population.load_model(changed)
    assert "building" in caplog.text
    (kept,) = (tmp_path / "cache").iterdir()
    caplog.clear()
    again = population.load_model(changed)
    assert "building" not in caplog.text
    assert first.to_bytes() == again.to_bytes()
    np.testing.assert_allclose(
        again.prevalence("gout"), population.load_model(knowledge).prevalence("gout"), atol=1e-12
    )
    kept.write_bytes(b"rubbish")
    assert population.load_model(changed).digest == again.digest
    assert "cannot be read" in caplog.text

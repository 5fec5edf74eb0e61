"""The knowledge files load, their codes are real, every figure has a source, and mistakes are explained."""

from __future__ import annotations

import csv
import gzip
import re
from functools import cache
from pathlib import Path

import pytest

from fhirsynth.knowledge import Knowledge, KnowledgeError, dosing, load
from fhirsynth.knowledge.errors import line_of, nearest
from fhirsynth.knowledge.schema import ByAge, Form, Level

SHARED = Path(__file__).parents[2] / "shared"
CODES = SHARED / "reference" / "codes"
ACTIVITY = SHARED / "reference" / "activity"
KINDS = (
    "conditions",
    "medicines",
    "allergies",
    "reactions",
    "observables",
    "panels",
    "specimens",
    "procedures",
    "vaccines",
    "specialties",
    "general_reasons",
    "flags",
)
DERIVED = {"bmi", "egfr-ckd-epi-2009", "news2", "non-hdl", "white-cells-less-lymphocytes"}
VERHOEFF_D = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
VERHOEFF_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
for _ in range(6):
    VERHOEFF_P.append([VERHOEFF_P[-1][VERHOEFF_P[1][i]] for i in range(10)])

needs_reference = pytest.mark.skipif(
    not CODES.is_dir(), reason="the reference material (../shared) is not on this machine"
)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load()


@cache
def column(path: Path, name: str) -> frozenset[str]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return frozenset(row[name] for row in csv.DictReader(text.splitlines()))


@cache
def known_snomed() -> frozenset[str]:
    """SNOMED CT ids of the curated lists and of NHS general practice coding."""
    names = (
        "conditions observables procedures status_findings encounter_document_codes allergy_findings "
        "reaction_manifestations immunisations dmd_forms dmd_routes"
    )
    curated = [column(CODES / f"{name}.csv", "snomed_id") for name in names.split()]
    return frozenset().union(*curated, column(CODES / "snomed_gp_usage_2022_23.csv.gz", "snomed_id"))


def verhoeff(identifier: str) -> bool:
    check = 0
    for position, digit in enumerate(reversed(identifier)):
        check = VERHOEFF_D[check][VERHOEFF_P[position % 8][int(digit)]]
    return check == 0


def snomed_ids(entry: Form) -> list[str]:
    """Every SNOMED CT id in an entry, forms inside it included."""
    found: list[str] = []
    for name, value in entry:
        values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for item in values:
            if isinstance(item, Form):
                found.extend(snomed_ids(item))
            elif isinstance(item, str) and (
                name in ("snomed", "vmp", "vtm", "form_code", "route_code", "site_code", "procedure", "diseases")
                and item.isdigit()
            ):
                found.append(item)
    return found


def entries(knowledge: Knowledge) -> list[tuple[str, str, Form]]:
    return [(kind, key, entry) for kind in KINDS for key, entry in getattr(knowledge, kind).items()]


# --- what is there -----------------------------------------------------------------------------


def test_loads_whole_and_once() -> None:
    from fhirsynth.knowledge import loader

    loader._load.cache_clear()
    knowledge = load()
    assert load() is knowledge, "read once a process"
    assert len(knowledge.medicines) >= 130
    assert re.fullmatch(r"[0-9a-f]{64}", knowledge.digest)


def test_every_kind_is_filled(knowledge: Knowledge) -> None:
    for kind in KINDS:
        assert getattr(knowledge, kind), kind
        assert all(key == entry.key for key, entry in getattr(knowledge, kind).items())


def test_every_snomed_id_has_a_valid_check_digit(knowledge: Knowledge) -> None:
    wrong = [(kind, key, i) for kind, key, entry in entries(knowledge) for i in snomed_ids(entry) if not verhoeff(i)]
    assert not wrong


def test_verhoeff_refuses_a_changed_digit() -> None:
    assert verhoeff("44054006")
    assert not verhoeff("44054016")


@needs_reference
def test_every_code_is_in_the_reference(knowledge: Knowledge) -> None:
    known = known_snomed()
    unknown = [
        (kind, key, identifier)
        for kind, key, entry in entries(knowledge)
        if kind not in ("medicines", "specialties")
        for identifier in snomed_ids(entry)
        if identifier not in known
    ]
    assert not unknown


@needs_reference
def test_medicines_are_dmd_products(knowledge: Knowledge) -> None:
    products = column(CODES / "medicines.csv", "vmp_id") | known_snomed()
    substances = column(CODES / "dmd_vtm_all_2019.csv", "vtm_id") | column(CODES / "medicines.csv", "vtm_id")
    forms, routes = (
        column(CODES / "dmd_forms.csv", "snomed_id"),
        column(CODES / "dmd_routes.csv", "snomed_id"),
    )
    for key, medicine in knowledge.medicines.items():
        assert medicine.vmp in products, key
        assert medicine.vtm in substances, key
        assert medicine.form_code in forms, key
        assert medicine.route_code in routes, key
        kept = re.sub(r"[^a-z0-9.-]", "", re.sub(r"[/ ]", "-", medicine.name.lower()))
        # A product in a second dose has that in its key.
        assert re.sub(r"-[0-9.]+mg-a-day$", "", key) == kept, "the key is made from the product's name"


@needs_reference
def test_classifications_are_in_the_hospital_lists(knowledge: Knowledge) -> None:
    icd10 = {code.replace(".", "") for code in column(ACTIVITY / "icd10_usage_hes.csv.gz", "code")}
    opcs4 = {code.replace(".", "") for code in column(ACTIVITY / "opcs4_usage_hes.csv.gz", "code")}
    functions = column(ACTIVITY / "nhs_data_dictionary_code_lists.csv", "code")
    for key, condition in knowledge.conditions.items():
        for code in (condition.icd10, *(stage.icd10 for stage in condition.stages)):
            assert code.replace(".", "") in icd10, (key, code)
    for key, procedure in knowledge.procedures.items():
        assert procedure.opcs4 is None or procedure.opcs4.replace(".", "") in opcs4, key
    for key, specialty in knowledge.specialties.items():
        assert specialty.code in functions, key


def test_every_figure_has_a_source(knowledge: Knowledge) -> None:
    def without(entry: Form, path: str) -> list[str]:
        found = []
        if "source" in type(entry).model_fields and not str(getattr(entry, "source", "")).strip():
            found.append(path)
        for name, value in entry:
            for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]:
                if isinstance(item, Form):
                    found.extend(without(item, f"{path}.{name}"))
        return found

    assert not [hole for kind, key, entry in entries(knowledge) for hole in without(entry, f"{kind}.{key}")]
    for name, content in knowledge.statistics.items():
        head = [line for line in content.decode().splitlines() if line.startswith("#")]
        assert any("Source" in line for line in head), f"{name}.csv says in its head where it comes from"
        assert knowledge.table(name)


# --- what makes sense --------------------------------------------------------------------------


def test_observables_are_measured_derived_or_coded(knowledge: Knowledge) -> None:
    parts = {
        "blood-pressure",
        "alcohol-units-week",
        "inspired-oxygen",
    }  # the engine reads them from something else
    for key, observable in knowledge.observables.items():
        ways = [
            observable.level is not None,
            observable.derived is not None,
            bool(observable.answers),
            key in parts,
        ]
        assert sum(ways) == 1, key
        assert observable.derived is None or observable.derived in DERIVED
        assert (observable.unit is None) == (observable.ucum is None) == bool(observable.answers), key
        assert observable.group != "laboratory" or observable.specimen, key


def test_usual_levels_lie_within_their_limits(knowledge: Knowledge) -> None:
    for key, observable in knowledge.observables.items():
        level = observable.level
        if isinstance(level, Level):
            assert all(level.floor <= value <= level.ceiling for value in (*level.female, *level.male)), key


@pytest.mark.parametrize("sex", ["female", "male"])
def test_most_adults_of_40_are_inside_the_reference_ranges(knowledge: Knowledge, sex: str) -> None:
    for key, observable in knowledge.observables.items():
        limits = (observable.range_female if sex == "female" else observable.range_male) or observable.range
        if observable.level is None or limits is None or key in ("cholesterol", "vitamin-d"):
            continue
        ages = [age for age in observable.level.age if age <= 40]
        value = getattr(observable.level, sex)[len(ages) - 1]
        assert limits.low is None or value >= limits.low, key
        assert limits.high is None or value <= limits.high, key


def test_children_grow(knowledge: Knowledge) -> None:
    for key in ("height", "weight", "head-circumference"):
        level = knowledge.observables[key].level
        assert level is not None
        for values in (level.female, level.male):
            young = [value for age, value in zip(level.age, values, strict=True) if age <= 18]
            assert young == sorted(young), key


def test_doses_are_of_a_plausible_size(knowledge: Knowledge) -> None:
    for key, medicine in knowledge.medicines.items():
        for dose in (medicine.dose, medicine.child_dose):
            if dose is None:
                continue
            assert dose.text[0].isupper() or dose.text[0].isdigit(), key
            assert dose.quantity >= dose.amount, key
            assert 0.01 <= dose.per_day <= 6, key
            assert not re.search(r"for [0-9]+ days", dose.text) or dose.per_day == 0.75, f"{key}: a dose has no length"
        ages = [term for term in medicine.blocked_by if term.startswith("age<")]
        assert medicine.child_dose is not None or ages, f"{key}: who is too young for it"


def test_an_issue_of_a_repeat_lasts_four_weeks_or_longer(knowledge: Knowledge) -> None:
    steps = (step for condition in knowledge.conditions.values() for step in condition.treatment)
    for key in sorted({key for step in steps if step.days is None for key in step.medicine}):
        medicine = knowledge.medicines[key]
        for dose in (medicine.dose, medicine.child_dose):
            assert dose is None or dosing.lasting(dose) >= 28, key


DOXYCYCLINE, NITROFURANTOIN = "doxycycline-100mg-capsules", "nitrofurantoin-100mg-modified-release-capsules"
METRONIDAZOLE, SUSPENSION = "metronidazole-400mg-tablets", "amoxicillin-250mg-5ml-oral-suspension-sugar-free"
ORDERS = {
    "three days": (NITROFURANTOIN, 3, False, 6, 3, " with food for 3 days"),
    "seven days of the same": (NITROFURANTOIN, 7, False, 14, 7, " with food for 7 days"),
    "a first day of its own": (DOXYCYCLINE, 5, False, 6, 5, "then one capsule (100 mg) once a day for 4 days"),
    "after the first day": (DOXYCYCLINE, 4, True, 4, 4, "One capsule (100 mg) once a day for 4 days"),
    "only the first day": (DOXYCYCLINE, 1, False, 2, 1, "Two capsules (200 mg) on the first day"),
    "a single dose": ("fluconazole-150mg-capsules", 1, False, 1, 1, "One capsule (150 mg) as a single dose"),
    "a warning": (METRONIDAZOLE, 5, False, 15, 5, "for 5 days; no alcohol during treatment and for 48 hours after"),
    "whole bottles": (SUSPENSION, 7, False, 300, 7, "three times a day for 7 days"),
    "no more than an issue when needed": ("sumatriptan-50mg-tablets", 28, False, 6, 28, "comes back"),
    "issued by the month": ("clopidogrel-75mg-tablets", 365, False, 28, 28, "once a day for 365 days"),
    "a repeat": ("tamsulosin-400microgram-modified-release-capsules", None, False, 30, 30, "once a day after food"),
}  # fmt: skip


@pytest.mark.parametrize("case", ORDERS)
def test_words_quantity_and_days_of_an_order_agree(knowledge: Knowledge, case: str) -> None:
    key, days, rest, quantity, lasts, ending = ORDERS[case]
    found = dosing.supply(knowledge.medicines[key].dose, days, rest=rest)
    assert (found.quantity, found.days) == (quantity, lasts)
    assert found.text.endswith(ending)
    assert days is None or (found.issues - 1) * found.days < days <= found.issues * found.days


@pytest.mark.parametrize("name", ["paracetamol", "penicillin", "macrolide", "antihistamine", "inhaled-beta-agonist"])
@pytest.mark.parametrize("age", [2.5, 5.5, 6.5, 11.5])
def test_there_is_something_for_children_of_each_age(knowledge: Knowledge, name: str, age: float) -> None:
    def fits(term: str) -> bool:
        found = re.fullmatch(r"age(<|>=)([\d.]+)", term)
        return found is not None and (age < float(found[2]) if found[1] == "<" else age >= float(found[2]))

    for_children = [m for m in knowledge.medicines.values() if name in m.classes and m.child_dose]
    assert any(not any(map(fits, m.blocked_by)) for m in for_children)


def test_contraindications_that_must_not_be_lost(knowledge: Knowledge) -> None:
    def blocked(key: str) -> list[str]:
        return knowledge.medicines[key].blocked_by

    assert {"condition:peptic-ulcer", "condition:heart-failure", "egfr<30"} <= set(blocked("naproxen-500mg-tablets"))
    assert "egfr<30" in blocked("metformin-500mg-tablets")
    assert "egfr<45" in blocked("nitrofurantoin-100mg-modified-release-capsules")
    assert "pregnancy" in blocked("ramipril-5mg-capsules")
    assert "condition:asthma" in blocked("bisoprolol-2.5mg-tablets")
    assert "sex=female" in blocked("sodium-valproate-200mg-gastro-resistant-tablets")
    assert {"pregnancy", "egfr<30"} <= set(blocked("methotrexate-2.5mg-tablets"))


def test_penicillin_allergy_rules_out_all_penicillins(knowledge: Knowledge) -> None:
    blocks = set(knowledge.allergies["penicillin"].blocks)
    for name in (
        "amoxicillin-500mg-capsules",
        "co-amoxiclav-500mg-125mg-tablets",
        "flucloxacillin-500mg-capsules",
    ):
        assert blocks & set(knowledge.medicines[name].classes), name


def test_published_totals(knowledge: Knowledge) -> None:
    groups = knowledge.table("hes_groups")
    assert sum(map(int, groups["fae"])) == pytest.approx(17_560_128, rel=0.001)
    emergency = sum(float(a) * float(b) for a, b in zip(groups["fae"], groups["emergency_share"], strict=True))
    assert emergency == pytest.approx(6_529_851, rel=0.001)


# --- what mistakes say -------------------------------------------------------------------------

ASTHMA = """name = "Made-up illness"
snomed = "195967001"
icd10 = "J45.9"
kind = "episode"
source = "test"
words = { letter = ["illness"], patient = "an illness" }

[incidence]
age = [0]
female = [1]
male = [1]
source = "test"

[[treatment]]
medicine = ["amoxicillin-500mg-capsules"]

[[treatment]]
share = 0.5
medicine = [
    "amoxicillin-500mg-capsules",
    "doxycycline-100mg-capsules",
]
"""


def laid_over(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def message(folder: Path) -> str:
    with pytest.raises(KnowledgeError) as caught:
        load(folder)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_a_condition_is_added_by_adding_a_file(tmp_path: Path, knowledge: Knowledge) -> None:
    more = load(laid_over(tmp_path, "conditions/made-up.toml", ASTHMA))
    assert more.conditions["made-up"].name == "Made-up illness"
    assert set(more.conditions) == {*knowledge.conditions, "made-up"}
    assert more.digest != knowledge.digest


def test_the_folder_may_be_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(laid_over(tmp_path, "conditions/made-up.toml", ASTHMA)))
    assert "made-up" in load().conditions
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(tmp_path / "nowhere"))
    assert "expected a folder" in message_of_default()


def message_of_default() -> str:
    with pytest.raises(KnowledgeError) as caught:
        load()
    return str(caught.value)


def test_an_entry_laid_over_replaces_the_packages_own(tmp_path: Path) -> None:
    text = '[nausea]\nname = "Feeling sick"\nsnomed = "422587007"\n'
    assert (
        load(laid_over(tmp_path, "reactions.toml", text + rest_of_reactions())).reactions["nausea"].name
        == "Feeling sick"
    )


def rest_of_reactions() -> str:
    kept = [r for key, r in load().reactions.items() if key != "nausea"]
    return "".join(f'["{r.key}"]\nname = "{r.name}"\nsnomed = "{r.snomed}"\n' for r in kept)


SHARE, WORDS, TREATED = "share = 0.5", "words = {", "treatment[1]"


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        (SHARE, "share = 1.4", 18, f"{TREATED}.share: expected a number from 0 to 1, found 1.4"),
        (SHARE, 'share = "half"', 18, f"{TREATED}.share: expected "),
        (SHARE, "shares = [0.5]", 17, f"{TREATED}: shares must be as many as medicine"),
        (SHARE, "shere = 0.5", 18, f"{TREATED}.shere: unknown key; nearest: where, share, shares"),
        ("\nmale = [1]", "", 8, "incidence.male: is missing"),
        ("age = [0]", "age = [5]", 8, "incidence: age must start at 0 and rise"),
        ('kind = "episode"', 'kind = "long-term"', 1, "a long-term condition needs [prevalence]"),
        ('snomed = "195967001"', 'snomed = "asthma"', 2, "snomed: expected a SNOMED CT id"),
        ('icd10 = "J45.9"', 'icd10 = "J459"', 3, "icd10: expected an ICD-10 code"),
        ('kind = "episode"', 'kind = "eposide"', 4, "kind: expected one of "),
        ("age = [0]", "age = [0", 10, "not valid TOML"),
        ('name = "Made-up illness"', "name = Made-up", 1, "not valid TOML"),
        (
            "doxycycline-100mg",
            "doxycyclin-100mg",
            21,
            f"{TREATED}.medicine[1]: expected the key of a medicine",
        ),
        ("doxycycline-100mg", "doxycyclin-100mg", 21, "nearest: doxycycline-100mg-capsules"),
        (
            SHARE,
            'when = "egrf<30"',
            18,
            f"{TREATED}.when: expected an observable or age, found 'egrf'; nearest: egfr",
        ),
        (SHARE, 'when = "egfr below 30"', 18, f"{TREATED}.when: expected <observable>"),
        (SHARE, 'blocked_by = ["allergy:penicilin"]', 18, "found 'penicilin'; nearest: penicillin"),
        (SHARE, "effect = { hba1d = -1 }", 18, f"{TREATED}.effect.hba1d: expected the key of an observable"),
        (
            WORDS,
            f'tests = ["full-blod-count"]\n{WORDS}',
            6,
            "tests[0]: expected the key of an observable, a panel",
        ),
        (
            WORDS,
            f'needs = ["asthmaa"]\n{WORDS}',
            6,
            "needs[0]: expected the key of a condition, found 'asthmaa'",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, expected: str
) -> None:
    assert ASTHMA.count(old) == 1
    said = message(laid_over(tmp_path, "conditions/made-up.toml", ASTHMA.replace(old, new)))
    assert said.startswith(f"conditions/made-up.toml, line {line}: ")
    assert expected in said


def test_tables_of_many_entries_name_the_entry(tmp_path: Path) -> None:
    folder = laid_over(tmp_path, "flags.toml", '[one]\nname = "One"\nsnomed = "129839007"\nshare = 2\nsource = "x"\n')
    assert "flags.toml, line 4: one.share: expected a number from 0 to 1, found 2" in message(folder)


def test_the_same_key_twice_is_refused(tmp_path: Path) -> None:
    one = '[new-one]\nname = "One"\nsnomed = "129839007"\n'
    laid_over(tmp_path, "observables/a.toml", one + 'group = "score"\nsource = "x"\n')
    folder = laid_over(tmp_path, "observables/b.toml", one + 'group = "score"\nsource = "x"\n')
    assert load(folder).observables["new-one"].name == "One", "the later file of the folder laid over wins"


def test_rows_of_a_wrong_length_name_their_line(tmp_path: Path) -> None:
    folder = laid_over(tmp_path, "statistics/extra.csv", "# Source: test\na,b\n1,2\n3\n")
    with pytest.raises(KnowledgeError, match=r"statistics/extra\.csv, line 4: expected 2 columns"):
        load(folder).table("extra")
    with pytest.raises(KnowledgeError, match="nearest: hes_groups"):
        load(folder).table("hes_group")


def test_lines_are_found_inside_nested_tables() -> None:
    text = 'a = 1\n[b]\nc = { d = 2 }\n[[e]]\nf = 1\n[[e]]\n[e.g]\nh = """\nf = 2\n"""\nf = 3\n["x.y"]\nz = 1\n'
    assert line_of(text, ("b", "c", "d")) == 3
    assert line_of(text, ("e", 0, "f")) == 5
    assert line_of(text, ("e", 1, "g", "f")) == 11
    assert line_of(text, ("e", 1, "g", "h")) == 8
    assert line_of(text, ("x.y", "z")) == 13
    assert line_of(text, ("nothing",)) == 1


def test_nearest_names() -> None:
    assert nearest("asthmaa", ["asthma", "gout"]) == "nearest: asthma"
    assert nearest("zzz", ["asthma", "gout"]) == "known: asthma, gout"
    assert nearest("zzz", []) == "none is known"


def test_weights_by_age_reach_every_adult(knowledge: Knowledge) -> None:
    for age in range(0, 100, 5):
        for sex in ("female", "male"):
            total = 0.0
            for reason in knowledge.general_reasons.values():
                weight: ByAge = reason.weight
                total += getattr(weight, sex)[sum(start <= age for start in weight.age) - 1]
            assert total > 0, (age, sex)

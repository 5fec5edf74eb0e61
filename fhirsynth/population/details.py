"""Gives people what a register holds beside the model: names, addresses, numbers, a practice, next of kin."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhirsynth.days import date_of
from fhirsynth.population.addresses import load_addresses
from fhirsynth.population.households import NOBODY
from fhirsynth.population.identifiers import mobile, nhs_number, telephone, uuids
from fhirsynth.population.names import load_names
from fhirsynth.record.schema import Contact, Person

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fhirsynth.knowledge import Knowledge
    from fhirsynth.population.households import Households
    from fhirsynth.population.inference import Codes
    from fhirsynth.population.model import PopulationModel
    from fhirsynth.population.places import Places
    from fhirsynth.spec import Spec

ADULT = 16
OWN_PHONE = 13  # years from which people have a mobile and an e-mail address of their own
#: NHS Data Dictionary: PERSON MARITAL STATUS.
MARITAL_CODES = {"single": "S", "married": "M", "separated": "P", "divorced": "D", "widowed": "W"}
TAKES_NAME = 0.75  # of women who marry a man; estimate
INTERPRETER = 0.2  # of those whose main language is not English (Census 2021: not well or not at all)
EMAIL = ("example.com", "example.org", "example.net")
#: Next of kin of those who live without partner or parents: relationship, chance, from what age on (estimates).
KIN: tuple[tuple[int, tuple[tuple[str, float], ...]], ...] = (
    (16, (("mother", 0.5), ("father", 0.2), ("sibling", 0.15), ("friend", 0.15))),
    (45, (("sibling", 0.3), ("daughter", 0.25), ("son", 0.2), ("mother", 0.1), ("friend", 0.15))),
    (65, (("daughter", 0.45), ("son", 0.35), ("sibling", 0.12), ("friend", 0.08))),
)
MALE = ("father", "son")
#: Years by which relatives are older than the person.
OLDER = {
    "mother": 28,
    "father": 30,
    "sibling": 0,
    "friend": 0,
    "spouse": 0,
    "partner": 0,
    "daughter": -29,
    "son": -29,
}


class _Uniforms:
    """Uniform numbers from one stream, fetched in bulk."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left: list[float] = []

    def __call__(self) -> float:
        if not self._left:
            self._left = self._rng.random(4096).tolist()
        return self._left.pop()


@dataclass
class _Home:
    id: str
    address: str
    postcode: str
    phone: str | None
    practice_id: str
    gp_role_id: str
    surname: str | None = None
    #: Parents or partner who live here but are not in the population: relationship → name parts.
    invented: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)


def _plain(text: str) -> str:
    # Letters a to z only, for an e-mail address.
    folded = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in folded if "a" <= c <= "z")


def email_name(given: str, surname: str) -> str:
    """What stands before the number and the @ of somebody's e-mail address: `anne.oneill`."""
    return ".".join(filter(None, (_plain(given.partition(" ")[0]), _plain(surname))))


class Details:
    """Writes `persons` and `contacts`, one group of people at a time.

    `first`: ordinal of the first person. Draws come from `rng`, in the order of the people.
    """

    def __init__(
        self,
        spec: Spec,
        first: int,
        knowledge: Knowledge,
        model: PopulationModel,
        places: Places,
        rng: np.random.Generator,
    ) -> None:
        self.persons: list[Person] = []
        self.contacts: list[Contact] = []
        self._seed, self._first, self._places, self._rng = spec.seed, first, places, rng
        self._states = model.states
        self._names = load_names(knowledge)
        self._where = load_addresses(knowledge)
        self._u = _Uniforms(rng)

    def add(
        self,
        codes: Codes,
        birth: NDArray[np.int64],
        death: NDArray[np.int64] | None,
        households: Households,
    ) -> None:
        """Add a group: model codes, days of birth, instants of death (or None), who lives with whom."""
        n = len(birth)
        nodes = (
            "sex", "region", "ethnic_category", "imd", "marital_status",
            "language", "household", "smoking", "alcohol", "bmi",
        )  # fmt: skip
        told = {}
        for node in nodes:
            states = self._states[node]
            told[node] = [states[code] for code in codes[node].tolist()]
        ages = codes["age"].tolist()
        births = birth.tolist()
        deaths = death.tolist() if death is not None else [None] * n
        ids = uuids(self._rng, n)
        homes = self._homes(told, households)
        surnames, before = self._surnames(told, ages, households, homes)
        start = len(self.persons)
        for i in range(n):
            home = homes[households.home[i]]
            sex, age, category = told["sex"][i], ages[i], told["ethnic_category"][i]
            marital = MARITAL_CODES[told["marital_status"][i]] if age >= ADULT else None
            year = date_of(births[i]).year
            given = self._given(year, sex, category)
            own = age >= OWN_PHONE
            ordinal = self._first + start + i
            email = None
            if own and self._u() < (0.85 if age < 75 else 0.4):
                local = f"{email_name(given, surnames[i])}{ordinal}"
                email = f"{local}@{EMAIL[int(self._u() * 3)]}"
            language = told["language"][i]
            self.persons.append(
                Person(
                    id=ids[i],
                    ordinal=ordinal,
                    nhs_number=nhs_number(self._seed, ordinal),
                    sex=sex,
                    birth=births[i],
                    death=deaths[i],
                    prefix=self._prefix(sex, age, marital),
                    given=given,
                    surname=surnames[i],
                    previous_surname=before[i],
                    ethnic_category=category,
                    marital_status=marital,
                    language=language,
                    interpreter=language != "en" and age >= ADULT and self._u() < INTERPRETER,
                    household_id=home.id,
                    address=home.address,
                    postcode=home.postcode,
                    phone=home.phone,
                    mobile=mobile(self._u()) if own and self._u() < (0.95 if age < 75 else 0.7) else None,
                    email=email,
                    region=told["region"][i],
                    imd_decile=int(told["imd"][i]),
                    household=told["household"][i],
                    smoking=told["smoking"][i],
                    alcohol=told["alcohol"][i],
                    bmi_class=told["bmi"][i],
                    practice_id=home.practice_id,
                    gp_role_id=home.gp_role_id,
                )
            )
        self._contacts(start, ages, households, homes)

    # --- homes -----------------------------------------------------------------------------------

    def _homes(self, told: dict[str, list[str]], households: Households) -> list[_Home]:
        ids = uuids(self._rng, len(households.adults))
        homes = []
        for number, adults in enumerate(households.adults):
            member = adults[0] if adults else households.children[number][0]
            region = told["region"][member]
            kind = told["household"][member]
            practices = self._places.practices(region)
            practice = practices[int(self._u() * len(practices))]
            address, postcode, first_digits = self._where.near(practice, kind, self._u)
            doctors = self._places.roles(practice.id, "general-practitioner")
            has_phone = self._u() < (0.75 if kind in ("couple", "care-home") else 0.4)
            homes.append(
                _Home(
                    ids[number],
                    address,
                    postcode,
                    telephone(first_digits, self._u()) if has_phone else None,
                    practice.id,
                    doctors[int(self._u() * len(doctors))].id,
                )
            )
        return homes

    # --- names -----------------------------------------------------------------------------------

    def _given(self, year: int, sex: str, category: str) -> str:
        first = self._names.first(year, sex, category, self._u())
        if self._u() < 0.6:
            second = self._names.first(year - 20, sex, category, self._u())
            if second != first:
                return f"{first} {second}"
        return first

    def _surnames(
        self, told: dict[str, list[str]], ages: list[int], households: Households, homes: list[_Home]
    ) -> tuple[list[str], list[str | None]]:
        n = len(ages)
        sexes, marital = told["sex"], told["marital_status"]
        own = [self._names.surname(category, self._u()) for category in told["ethnic_category"]]
        now: list[str] = list(own)
        before: list[str | None] = [None] * n
        for i in range(n):
            if sexes[i] != "female" or marital[i] == "single" or self._u() >= TAKES_NAME:
                continue
            partner = households.partner[i]
            if partner == NOBODY:
                now[i] = self._names.surname(told["ethnic_category"][i], self._u())
            elif marital[i] == "married" and sexes[partner] == "male":
                now[i] = own[partner]
            else:
                continue
            before[i] = own[i] if own[i] != now[i] else None
        for number, children in enumerate(households.children):
            home = homes[number]
            for child in children:
                if home.surname is None:
                    parents = [p for p in (households.father[child], households.mother[child]) if p != NOBODY]
                    home.surname = now[parents[0]] if parents else own[child]
                now[child] = home.surname
        return now, before

    def _prefix(self, sex: str, age: int, marital: str | None) -> str:
        if age < ADULT:
            return "Master" if sex == "male" else "Miss"
        if age > 25 and self._u() < 0.012:
            return "Dr"
        if sex == "male":
            return "Mr"
        if marital in ("M", "W", "D", "P"):
            return "Mrs" if self._u() < 0.88 else "Ms"
        return "Miss" if self._u() < 0.5 else "Ms"

    # --- next of kin -----------------------------------------------------------------------------

    def _contacts(self, start: int, ages: list[int], households: Households, homes: list[_Home]) -> None:
        for i, age in enumerate(ages):
            person = self.persons[start + i]
            home = homes[households.home[i]]
            if person.household == "with-parents" or age < ADULT:
                self._parents(start, person, age, i, households, home)
            elif households.partner[i] != NOBODY:
                other = self.persons[start + households.partner[i]]
                both = person.marital_status == "M" and other.marital_status == "M"
                self._known(person, other, "spouse" if both else "partner", True)
            elif person.household in ("couple", "couple-children"):
                self._invented(person, age, home, "spouse" if person.marital_status == "M" else "partner", True, True)
            else:
                grown = [c for c in households.children[households.home[i]] if ages[c] >= ADULT + 2]
                if grown:
                    child = self.persons[start + grown[0]]
                    self._known(person, child, "daughter" if child.sex == "female" else "son", True)
                else:
                    self._invented(person, age, home, self._kin(age), False, True)

    def _parents(self, start: int, person: Person, age: int, i: int, households: Households, home: _Home) -> None:
        known = [("mother", households.mother[i]), ("father", households.father[i])]
        here = [(relationship, parent) for relationship, parent in known if parent != NOBODY]
        for number, (relationship, parent) in enumerate(here):
            # Two mothers or two fathers are told apart by their sex, not by the place they were put in.
            other = self.persons[start + parent]
            relationship = "mother" if other.sex == "female" else "father"
            self._known(person, other, relationship, number == 0)
        if len(here) == 2:
            return
        if len(here) == 1:
            only = self.persons[start + here[0][1]]
            if only.household != "couple-children":
                return
            self._invented(person, age, home, "father" if only.sex == "female" else "mother", True, False)
            return
        self._invented(person, age, home, "mother", True, True)
        if home.invented.get("father") or ("alone" not in home.invented and self._u() < 0.8):
            self._invented(person, age, home, "father", True, False)
        else:
            home.invented["alone"] = ("", "", "", "")

    def _kin(self, age: int) -> str:
        table = next(kin for low, kin in reversed(KIN) if age >= low)
        level = self._u()
        for relationship, share in table:
            level -= share
            if level < 0:
                return relationship
        return table[-1][0]

    def _known(self, person: Person, other: Person, relationship: str, next_of_kin: bool) -> None:
        self.contacts.append(
            Contact(
                uuids(self._rng, 1)[0],
                person.id,
                other.id,
                relationship,
                other.prefix,
                other.given,
                other.surname,
                other.sex,
                other.mobile or other.phone or mobile(self._u()),
                other.address,
                other.postcode,
                next_of_kin,
            )
        )

    def _invented(
        self, person: Person, age: int, home: _Home, relationship: str, same_home: bool, next_of_kin: bool
    ) -> None:
        # Someone who is not in the population. Parents and partners of a household are kept, so that
        # siblings have the same mother.
        if relationship not in home.invented:
            u = self._u
            if relationship in ("spouse", "partner"):
                sex = "female" if person.sex == "male" else "male"
            elif relationship in ("sibling", "friend"):
                sex = "female" if u() < 0.5 else "male"
            else:
                sex = "male" if relationship in MALE else "female"
            older = OLDER[relationship]
            year = max(1900, date_of(person.birth).year - older - int(u() * 5))
            surname = person.surname
            if relationship == "spouse":
                # Whether a wife took her husband's name is in her own record; of a wife outside it is drawn here.
                own = person.previous_surname is None if person.sex == "female" else u() >= TAKES_NAME
            else:
                own = relationship in ("partner", "friend") or (not same_home and u() < 0.4)
            if own:
                surname = self._names.surname(person.ethnic_category, u())
            given = self._names.first(year, sex, person.ethnic_category, u())
            marital = "M" if relationship in ("mother", "spouse") else "S"
            prefix = self._prefix(sex, max(18, age + older), marital)
            if same_home:
                home.invented[relationship] = (prefix, given, surname, sex)
        else:
            prefix, given, surname, sex = home.invented[relationship]
        address, postcode = person.address, person.postcode
        if not same_home:
            address, postcode, _ = self._where.anywhere(person.region, self._u)
        self.contacts.append(
            Contact(
                uuids(self._rng, 1)[0],
                person.id,
                None,
                relationship,
                prefix,
                given,
                surname,
                sex,
                mobile(self._u()),
                address,
                postcode,
                next_of_kin,
            )
        )

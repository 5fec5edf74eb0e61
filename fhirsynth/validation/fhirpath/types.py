"""The types of FHIR R4 by name: what a choice element may be, what a datatype holds, what a type is derived from.

Facts of the definitions of base R4 4.0.1. JSON says nothing of the type of an element but in the key of a choice
(`valueQuantity`) and in `resourceType`; elsewhere it is told from the names of the parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhirsynth.validation.fhirpath.moments import moment

#: Primitive types and what they are derived from.
_PRIMITIVES = {
    "base64Binary": "Element",
    "boolean": "Element",
    "canonical": "uri",
    "code": "string",
    "date": "Element",
    "dateTime": "Element",
    "decimal": "Element",
    "id": "string",
    "instant": "Element",
    "integer": "Element",
    "markdown": "string",
    "oid": "uri",
    "positiveInt": "integer",
    "string": "Element",
    "time": "Element",
    "unsignedInt": "integer",
    "uri": "Element",
    "url": "uri",
    "uuid": "uri",
    "xhtml": "Element",
}

#: The parts of the datatypes, besides id and extension, `[x]` marking a choice.
_DATATYPES = {
    "Address": "use type text line city district state postalCode country period",
    "Annotation": "author[x] time text",
    "Attachment": "contentType language data url size hash title creation",
    "CodeableConcept": "coding text",
    "Coding": "system version code display userSelected",
    "ContactDetail": "name telecom",
    "ContactPoint": "system value use rank period",
    "Contributor": "type name contact",
    "DataRequirement": "type profile subject[x] mustSupport codeFilter dateFilter limit sort",
    "Dosage": (
        "sequence text additionalInstruction patientInstruction timing asNeeded[x] site route method doseAndRate "
        "maxDosePerPeriod maxDosePerAdministration maxDosePerLifetime"
    ),
    "ElementDefinition": (
        "path representation sliceName sliceIsConstraining label code slicing short definition comment "
        "requirements alias min max base contentReference type defaultValue[x] meaningWhenMissing orderMeaning "
        "fixed[x] pattern[x] example minValue[x] maxValue[x] maxLength condition constraint mustSupport isModifier "
        "isModifierReason isSummary binding mapping"
    ),
    "Expression": "description name language expression reference",
    "Extension": "url value[x]",
    "HumanName": "use text family given prefix suffix period",
    "Identifier": "use type system value period assigner",
    "MarketingStatus": "country jurisdiction status dateRange restoreDate",
    "Meta": "versionId lastUpdated source profile security tag",
    "Money": "value currency",
    "Narrative": "status div",
    "ParameterDefinition": "name use min max documentation type profile",
    "Period": "start end",
    "Population": "age[x] gender race physiologicalCondition",
    "ProdCharacteristic": "height width depth weight nominalVolume externalDiameter shape color imprint image scoring",
    "ProductShelfLife": "identifier type period specialPrecautionsForStorage",
    "Quantity": "value comparator unit system code",
    "Range": "low high",
    "Ratio": "numerator denominator",
    "Reference": "reference type identifier display",
    "RelatedArtifact": "type label display citation url document resource",
    "SampledData": "origin period factor lowerLimit upperLimit dimensions data",
    "Signature": "type when who onBehalfOf targetFormat sigFormat data",
    "SubstanceAmount": "amount[x] amountType amountText referenceRange",
    "Timing": "event repeat code",
    "TriggerDefinition": "type name timing[x] data condition",
    "UsageContext": "code value[x]",
}

_QUANTITIES = ("Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity")
_BACKBONES = (
    "Dosage",
    "ElementDefinition",
    "MarketingStatus",
    "Population",
    "ProdCharacteristic",
    "ProductShelfLife",
    "SubstanceAmount",
    "Timing",
)

_OPEN = (
    "Address Age Annotation Attachment CodeableConcept Coding ContactDetail ContactPoint Contributor Count "
    "DataRequirement Distance Dosage Duration Expression HumanName Identifier Meta Money ParameterDefinition "
    "Period Quantity Range Ratio Reference RelatedArtifact SampledData Signature Timing TriggerDefinition "
    "UsageContext base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid "
    "positiveInt string time unsignedInt uri url uuid"
)
#: The choice elements (`value[x]`) of all resources and datatypes and the types each may take.
_CHOICES = {
    "abatement": "Age Period Range dateTime string",
    "additive": "CodeableConcept Reference",
    "age": "Age CodeableConcept Range string",
    "allowed": "CodeableConcept Money boolean string unsignedInt",
    "amount": "Quantity Range Ratio string",
    "answer": "Coding Quantity Reference boolean date dateTime decimal integer string time",
    "asNeeded": "CodeableConcept boolean",
    "author": "Reference string",
    "born": "Period date string",
    "bounds": "Duration Period Range",
    "characteristic": "CodeableConcept Quantity",
    "chargeItem": "CodeableConcept Reference",
    "code": "CodeableConcept Reference",
    "collected": "Period dateTime",
    "content": "Attachment Reference string",
    "created": "Period dateTime",
    "date": "Period dateTime",
    "deceased": "Age Range boolean date dateTime string",
    "defaultValue": _OPEN,
    "definingSubstance": "CodeableConcept Reference",
    "definition": "CodeableConcept DataRequirement Expression canonical uri",
    "detail": "CodeableConcept Quantity Range Ratio boolean integer string",
    "diagnosis": "CodeableConcept Reference",
    "dose": "Quantity Range",
    "doseNumber": "positiveInt string",
    "due": "Duration date",
    "duration": "Quantity Range",
    "effective": "Period Timing dateTime instant",
    "entity": "CodeableConcept Reference",
    "event": "CodeableConcept Coding Reference dateTime id uri",
    "example": "boolean canonical",
    "fastingStatus": "CodeableConcept Duration",
    "fixed": _OPEN,
    "identified": "Period dateTime",
    "indication": "CodeableConcept Reference",
    "instances": "Quantity Range",
    "item": "CodeableConcept Reference",
    "legallyBinding": "Attachment Reference",
    "location": "Address CodeableConcept Reference",
    "manufacturer": "Reference string",
    "maxValue": "Quantity date dateTime decimal instant integer positiveInt time unsignedInt",
    "medication": "CodeableConcept Reference",
    "minValue": "Quantity date dateTime decimal instant integer positiveInt time unsignedInt",
    "minimumVolume": "Quantity string",
    "module": "CodeableConcept canonical uri",
    "multipleBirth": "boolean integer",
    "name": "Reference url",
    "occurred": "Period dateTime",
    "occurrence": "Period Timing dateTime string",
    "offset": "Duration Range",
    "onset": "Age Period Range dateTime string",
    "participantEffective": "Duration Period Timing dateTime",
    "pattern": _OPEN,
    "performed": "Age Period Range dateTime string",
    "probability": "Range decimal",
    "procedure": "CodeableConcept Reference",
    "product": "CodeableConcept Reference",
    "quantity": "Quantity Range Ratio",
    "rate": "Quantity Range Ratio",
    "reported": "Reference boolean",
    "scheduled": "Period Timing string",
    "seriesDoses": "positiveInt string",
    "serviced": "Period date",
    "source": "Attachment Reference canonical uri",
    "start": "CodeableConcept date",
    "statusReason": "CodeableConcept Reference",
    "studyEffective": "Duration Period Timing dateTime",
    "subject": "CodeableConcept Reference",
    "substance": "CodeableConcept Reference",
    "target": "Identifier Reference canonical uri",
    "time": "Period dateTime",
    "timing": "Age Duration Period Range Reference Timing date dateTime",
    "topic": "CodeableConcept Reference",
    "used": "Money string unsignedInt",
    "value": _OPEN,
    "when": "Period Range",
}

_RESOURCES = (
    "Account ActivityDefinition AdministrableProductDefinition AdverseEvent AllergyIntolerance Appointment "
    "AppointmentResponse AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle "
    "CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition Citation Claim "
    "ClaimResponse ClinicalImpression ClinicalUseDefinition CodeSystem Communication CommunicationRequest "
    "CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage "
    "CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition "
    "DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference "
    "EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare "
    "EventDefinition Evidence EvidenceReport EvidenceVariable ExampleScenario ExplanationOfBenefit "
    "FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy "
    "Immunization ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide Ingredient "
    "InsurancePlan Invoice Library Linkage List Location Measure MeasureReport Media Medication "
    "MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement "
    "MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication "
    "MedicinalProductDefinition MedicinalProductIndication MedicinalProductIngredient "
    "MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged "
    "MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader "
    "MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition "
    "OperationOutcome Organization OrganizationAffiliation PackagedProductDefinition Parameters Patient "
    "PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure "
    "Provenance Questionnaire QuestionnaireResponse RegulatedAuthorization RelatedPerson RequestGroup "
    "ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment "
    "RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition "
    "StructureDefinition StructureMap Subscription SubscriptionStatus SubscriptionTopic Substance "
    "SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation "
    "SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities "
    "TestReport TestScript ValueSet VerificationResult VisionPrescription"
)
_NO_DOMAIN = frozenset(("Binary", "Bundle", "Parameters"))

#: The types of FHIRPath itself and those of FHIR that stand for them.
_SYSTEM = {
    "Boolean": ("boolean",),
    "Integer": ("integer",),
    "Decimal": ("decimal",),
    "String": ("string", "uri", "base64Binary", "xhtml"),
    "Date": ("date",),
    "DateTime": ("dateTime", "instant"),
    "Time": ("time",),
}

_PARENTS: dict[str, str] = {
    **_PRIMITIVES,
    **{name: "BackboneElement" if name in _BACKBONES else "Element" for name in _DATATYPES},
    **dict.fromkeys(_QUANTITIES, "Quantity"),
    **{name: "Resource" if name in _NO_DOMAIN else "DomainResource" for name in _RESOURCES.split()},
    "BackboneElement": "Element",
    "DomainResource": "Resource",
}
#: All names that may stand after `is` and `as`, without `FHIR.` and `System.`.
KNOWN = frozenset((*_PARENTS, *_SYSTEM, "Element", "Resource"))


def _choice_keys(name: str, types: str) -> dict[str, str]:
    return {name + kind[0].upper() + kind[1:]: kind for kind in types.split()}


#: For each choice element the keys that it may have in JSON and the type that each stands for.
CHOICES: dict[str, dict[str, str]] = {name: _choice_keys(name, types) for name, types in _CHOICES.items()}
#: The type that a key of a choice element stands for.
TYPE_OF_KEY: dict[str, str] = {key: kind for keys in CHOICES.values() for key, kind in keys.items()}


def _parts(words: str) -> frozenset[str]:
    names = {"id", "extension", "modifierExtension"}
    for word in words.split():
        names |= CHOICES[word[:-3]].keys() if word.endswith("[x]") else {word}
    return frozenset(names | {"_" + name for name in names})


_PARTS = {name: _parts(words) for name, words in _DATATYPES.items()}
_PARTS |= dict.fromkeys(_QUANTITIES, _PARTS["Quantity"])


def _ancestry(name: str) -> frozenset[str]:
    """A type and all that it is derived from, among them the FHIRPath type that a primitive stands for."""
    found = {name}
    while name in _PARENTS:
        name = _PARENTS[name]
        found.add(name)
    found |= {system for system, stands_for in _SYSTEM.items() if found.intersection(stands_for)}
    return frozenset(found)


_ANCESTRY = {name: _ancestry(name) for name in KNOWN}

_CODE = re.compile(r"\S+( \S+)*")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_URI = re.compile(r"\S+")


def _timely(*kinds: str) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        found = moment(text)
        return found is not None and found.kind in kinds

    return fits


def _any(text: str) -> bool:
    return True


#: What a text looks like that may be of a type.
_LOOKS: Mapping[str, Callable[[str], bool]] = {
    "string": _any,
    "String": _any,
    "markdown": _any,
    "xhtml": _any,
    "Element": _any,
    "base64Binary": _any,
    "code": lambda text: _CODE.fullmatch(text) is not None,
    "id": lambda text: _ID.fullmatch(text) is not None,
    **{name: lambda text: _URI.fullmatch(text) is not None for name in ("uri", "url", "canonical", "oid", "uuid")},
    "date": _timely("date"),
    "Date": _timely("date"),
    "dateTime": _timely("date", "dateTime"),
    "DateTime": _timely("dateTime"),
    "instant": _timely("dateTime"),
    "time": _timely("time"),
    "Time": _timely("time"),
}


def derives(name: str, ancestor: str) -> bool:
    """Whether a type is another or derived from it."""
    return ancestor in _ANCESTRY.get(name, ())


def may_be(value: Any, name: str) -> bool:
    """Whether a value of JSON whose type is not known may be of a type, by what it looks like."""
    if type(value) is str:
        looks = _LOOKS.get(name)
        return looks is not None and looks(value)
    if type(value) is dict:
        kind = value.get("resourceType")
        if isinstance(kind, str):
            return kind == name or derives(kind, name)
        if name in _PARTS:
            return value.keys() <= _PARTS[name]
        return name in ("Element", "BackboneElement")
    if type(value) is bool:
        return name in ("boolean", "Boolean", "Element")
    if type(value) is int:
        least = {"integer": value, "unsignedInt": 0, "positiveInt": 1}.get(name)
        return value >= least if least is not None else name in ("Integer", "decimal", "Element")
    return isinstance(value, (float, Decimal)) and name in ("decimal", "Decimal", "Element")

"""What is wrong with FHIR resources: rules of sense, of structure, and of UK Core profiles.

from fhirsynth.validation import check_path

for finding in check_path(Path("out")):
    print(finding)
"""

from fhirsynth.validation.files import check_bundle, check_path
from fhirsynth.validation.findings import Finding
from fhirsynth.validation.profiles import check
from fhirsynth.validation.rules_of_sense import Known

__all__ = ["Finding", "Known", "check", "check_bundle", "check_path"]

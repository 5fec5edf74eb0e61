"""What is wrong with FHIR resources: base R4, UK Core profiles, what no profile says, and medical sense.

from fhirsynth.validation import Validator, check_path

for finding in check_path(Path("out")):  # files and folders, whole lives
    print(finding)
for finding in Validator(release="stu3").check(resource):  # one resource or bundle in memory
    print(finding)
"""

from fhirsynth.validation.engine import Validator
from fhirsynth.validation.files import check_bundle, check_path, check_paths
from fhirsynth.validation.findings import Finding
from fhirsynth.validation.rules_of_sense import Known

__all__ = ["Finding", "Known", "Validator", "check_bundle", "check_path", "check_paths"]

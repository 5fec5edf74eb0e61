"""HL7's own validator as an engine: Java, kept warm, over the official packages that the user brings.

with Hl7Engine(release="stu3", packages=[Path("fhir.r4.ukcore.stu3.currentbuild.tgz")]) as engine:
    findings = engine.check(resource)

It needs Java 17 or later and the packages of UK Core; its first use needs Maven as well, which fetches HL7's validator
(`maven/pom.xml` says which version) and builds the classes beside it into the user's cache.
"""

from fhirsynth.validation.hl7.engine import Hl7Engine

__all__ = ["Hl7Engine"]

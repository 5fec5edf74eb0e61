"""Real FHIR servers that tests load into: `hapi` (HAPI FHIR JPA, in Java) and `sekmet` (sekmet-fhir, in Python).

Both listen on loopback only, keep nothing after the tests, and end with the process that started them, however that
one ends. Tests get them from the fixtures `hapi` and `sekmet`.
"""

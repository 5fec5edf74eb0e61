"""The synthetic NHS in one command: UK populations as linked records and UK Core FHIR."""

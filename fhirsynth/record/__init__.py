"""The record: linked tables that the makers write and the exporters read."""

from fhirsynth.record.integrity import Problem
from fhirsynth.record.record import Record, Rows

__all__ = ["Problem", "Record", "Rows"]

"""Domain knowledge as data files with sources, and the one loader that reads them."""

from fhirsynth.knowledge.errors import KnowledgeError
from fhirsynth.knowledge.loader import Knowledge, load

__all__ = ["Knowledge", "KnowledgeError", "load"]

"""Sections written by a language model: from a brief with placeholders to text with placeholders, never a value."""

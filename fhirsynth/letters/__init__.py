"""Discharge letters: facts of one hospital stay, planned, put into words, checked, and set on a page."""

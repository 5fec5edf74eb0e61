"""The record as tables in files: Parquet, CSV, and the data dictionary that says what their columns mean."""

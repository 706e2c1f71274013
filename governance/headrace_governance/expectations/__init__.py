"""Expectations: what every table is checked for before it is committed.

Suites are YAML, one file a table; names and meaning are Great Expectations'.
"""

"""Fakes and helpers that several suites share."""

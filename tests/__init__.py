"""Tests, by the question asked: unit, engine, cluster."""

"""Tests that need no engine and no cluster."""

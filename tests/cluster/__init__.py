"""Tests on the real node, with real containers and real packets."""

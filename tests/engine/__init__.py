"""The real engine with the real plugins: previews, renders, policies, state, interruption."""

"""The policy pack as the engine meets it: through the SDK's own servicer, with real requests, on fixtures that are data."""

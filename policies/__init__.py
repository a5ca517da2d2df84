"""The policy pack: rules that hold the security architecture, and their assembly."""

"""Long runs and repetitions: `make soak`."""

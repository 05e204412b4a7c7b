"""The DataFrame face: `df.llm` and `series.llm`."""

"""After a run: its report, plots and page, what the journal remembers of it, and care for that."""

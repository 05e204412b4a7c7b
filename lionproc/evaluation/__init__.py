"""Is it any good: answers against gold, with the intervals that belong to such numbers."""

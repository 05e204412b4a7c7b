"""Sample data: 60 short product reviews, written for lionproc."""

"""What a person knows of a run afterwards: its report, its plots, and one file to hand on."""

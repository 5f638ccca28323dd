"""Review of a stack change: the effect on objects inside the clusters. The program imports nothing from here."""

"""The two commands behind the Makefile: a stack on the lab, from nothing to checked, and away again."""

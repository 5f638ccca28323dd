"""What is behind the Makefile's commands: a stack on the lab, from nothing to checked, and away again."""

"""The tests: sentences, fast by default; those marked `lab` start clusters."""

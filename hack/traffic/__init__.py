"""Requests at a constant rate from pods, and reports of their answers: the load of `make traffic`."""

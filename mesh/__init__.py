"""Library of the program: registers no resource, imports no component."""

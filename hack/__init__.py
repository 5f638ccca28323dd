"""Tools for developers of this project; nothing in it is imported by the program."""

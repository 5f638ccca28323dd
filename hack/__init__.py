"""Tools for developers of this project; the program imports none of them."""

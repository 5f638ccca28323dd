"""`python -m settings`: write the JSON Schema of stack files anew, and the page with all settings."""

from pathlib import Path

from settings import reference, schema

if __name__ == "__main__":
    Path(schema.FILE).write_text(schema.text())
    Path(reference.FILE).write_text(reference.text())

"""`python -m settings`: write the JSON Schema of stack files anew."""

from pathlib import Path

from settings import schema

if __name__ == "__main__":
    Path(schema.FILE).write_text(schema.text())

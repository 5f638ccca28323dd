"""`python -m mesh.config`: write the JSON Schema of stack files anew, and the page with all settings."""

from pathlib import Path

from mesh.config import docs_generator, schema

if __name__ == "__main__":
    Path(schema.FILE).write_text(schema.text())
    Path(docs_generator.FILE).write_text(docs_generator.text())

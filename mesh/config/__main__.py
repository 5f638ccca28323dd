"""`python -m mesh.config`: write the JSON Schema of stack files anew, and the page with all settings."""

from pathlib import Path

from mesh.config import docs_generator, schema

if __name__ == "__main__":
    Path(schema.SCHEMA_FILE).write_text(schema.schema_text())
    Path(docs_generator.SETTINGS_PAGE).write_text(docs_generator.settings_page())

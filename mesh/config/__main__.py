"""Command `python -m mesh.config`: write stack.schema.json and docs/settings.md."""

from pathlib import Path

from mesh.config import docs_generator, schema

if __name__ == "__main__":
    Path(schema.SCHEMA_FILE).write_text(schema.render_schema())
    Path(docs_generator.SETTINGS_PAGE).write_text(docs_generator.render_settings_page())

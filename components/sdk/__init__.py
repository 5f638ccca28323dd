"""Extensions of Pulumi's Python SDK."""

"""Stage `language`: language and script of documents, and what their source declares."""

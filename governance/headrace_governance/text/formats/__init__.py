"""Foreign document formats → Markdown text, each told by its media type; run in the parser process only."""

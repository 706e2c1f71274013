"""JATS articles: `read` finds the records of a file, `convert` writes one as Markdown."""

"""Wikipedia and other MediaWiki exports: `read` finds the records of a file, `convert` writes one as Markdown."""

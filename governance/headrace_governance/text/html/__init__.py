"""HTML to Markdown: tokeniser, block writer, and the choice of a page's main content."""

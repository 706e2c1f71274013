"""News in feeds, NITF and NewsML-G2: `read` finds the records of a file, `convert` writes one as Markdown."""

"""Storage: files below the lake's root, on a local folder or S3, and their cache."""

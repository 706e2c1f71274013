"""The sample site: real packages' pages, opened without installing, served on loopback with a log."""

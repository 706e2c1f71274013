"""Reports: pages of HTML made from receipts and tables. Each is a file of its own that asks nobody for anything."""

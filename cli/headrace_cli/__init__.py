"""The command line: everything that a DAG does, for one slice at a time."""

"""Sources: the files that name them, their licences, and the policy of fetching."""

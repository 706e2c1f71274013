"""Toxicity and restricted content: words of lists by Aho-Corasick, classifiers by configuration, a tier for each document."""

"""Quality of a text: classifiers and n-gram models trained by the platform, and the stage that writes score, tier and perplexity."""

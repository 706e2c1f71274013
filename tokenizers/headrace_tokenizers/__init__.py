"""Text vocabulary, token store and the tokenise stage. Media discretisers will stand beside them in one id space."""

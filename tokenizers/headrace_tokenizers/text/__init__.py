"""Text: Qwen's vocabulary, its encoder, and the stage that turns documents into tokens."""

"""Mix, model, trainer, evaluation, gates and releases on Megatron-Core."""

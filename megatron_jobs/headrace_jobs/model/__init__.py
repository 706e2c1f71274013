"""Model sizes and the one seam through which Megatron's model class is built."""

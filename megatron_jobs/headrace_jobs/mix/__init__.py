"""From a recipe to packed batches: `recipe` (what), `compile` (which documents), `order`, `packing`, `loader` (when)."""

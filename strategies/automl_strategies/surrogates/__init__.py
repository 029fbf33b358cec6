"""What model-based strategies share: observations, the unit cube, models, plans. Suggests nothing by itself."""

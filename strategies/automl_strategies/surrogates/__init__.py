"""What model-based strategies share: observations, the unit cube, models, batch plans. Suggests nothing by itself."""

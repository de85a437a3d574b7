"""Views: pure folds of events into what people and the loop read."""

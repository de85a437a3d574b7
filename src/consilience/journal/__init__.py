"""Signed, hash-chained feeds and the views that fold them. Only this package writes history."""

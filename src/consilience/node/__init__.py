"""The composition root: the only place where parts are chosen and wired."""
